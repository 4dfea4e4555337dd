"""lbtutor: learn load balancing on a real load balancer, in a terminal."""

__version__ = "0.1.0"
