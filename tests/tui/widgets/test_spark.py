from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from lbtutor.tui.widgets.spark import Spark


def columns(
    *values: float | None, top: float = 8, width: int = 4, height: int = 1, glyphs: str = "unicode"
) -> list[str]:
    spark = Spark("rate", "req/s", top, glyphs=glyphs)
    for value in values:
        spark._values.append(value)
    return spark.columns(width, height)


def test_a_value_fills_its_share_of_the_declared_scale() -> None:
    assert columns(0, 1, 4, 8) == [" ", "▁", "▄", "█"]
    assert columns(1, 9, width=2, top=16, height=2) == ["▁ ", "█▁"]


def test_the_scale_stays_whatever_comes() -> None:
    assert columns(1, 800, width=2) == ["▁", "█"]


def test_nearly_nothing_is_not_nothing() -> None:
    assert columns(0.001, 0, width=2) == ["▁", " "]


def test_the_newest_value_stands_at_the_right_and_old_ones_leave() -> None:
    assert columns(8, width=3) == [" ", " ", "█"]
    assert columns(8, 1, 2, 3, width=3) == ["▁", "▂", "▃"]


def test_a_missing_value_leaves_a_gap() -> None:
    assert columns(8, None, 8, width=3) == ["█", " ", "█"]


@given(
    values=st.lists(st.none() | st.floats(-1e9, 1e9), max_size=60),
    top=st.floats(0.001, 1e6),
    width=st.integers(0, 80),
    height=st.integers(0, 20),
    glyphs=st.sampled_from(["unicode", "safe", "ascii"]),
)
def test_columns_have_the_size_asked_for(
    values: list[float | None], top: float, width: int, height: int, glyphs: str
) -> None:
    drawn = columns(*values, top=top, width=width, height=height, glyphs=glyphs)
    assert [len(column) for column in drawn] == [height] * width
    assert glyphs != "ascii" or "".join(drawn).isascii()


def test_a_scale_without_height_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Spark("rate", "req/s", 0)


class Charts(App[None]):
    CSS = "Spark { width: 20; height: 5; }"

    def compose(self) -> ComposeResult:
        yield Spark("throughput", "req/s", 40, glyphs="unicode")


def test_the_title_and_the_newest_value_stand_in_the_borders() -> None:
    async def script() -> None:
        app = Charts()
        async with app.run_test() as pilot:
            spark = app.query_one(Spark)
            for value in (10, 20, 40, 60.04):
                spark.push(value)
            await pilot.pause()
            rows = [strip.text[:20] for strip in app.screen._compositor.render_strips()][:5]
            assert "throughput" in rows[0]
            assert [row[-5:-1] for row in rows[1:4]] == ["  ██", " ▄██", "▆███"]
            assert "60 req/s" in rows[4]
            spark.clear()
            await pilot.pause()
            assert spark.border_subtitle == ""
            assert all(spark.render_line(y).text.isspace() for y in range(3))

    asyncio.run(script())


def test_what_goes_beyond_the_scale_looks_different() -> None:
    async def script() -> None:
        app = Charts()
        async with app.run_test() as pilot:
            spark = app.query_one(Spark)
            spark.push(40)
            spark.push(41)
            await pilot.pause()
            *_, within, beyond = spark.render_line(0)
            assert within.text.strip() == beyond.text.strip() == "█"
            assert within.style != beyond.style

    asyncio.run(script())
