"""Laws for load-balancing algorithms, and what it takes to hold somebody's file to them."""
