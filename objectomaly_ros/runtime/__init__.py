"""The real-time part that knows no ROS: queue, cadence, refinement beside CAS, statistics."""
