"""The real-time engine without ROS: queue, cadence, masks, supervision, statistics."""
