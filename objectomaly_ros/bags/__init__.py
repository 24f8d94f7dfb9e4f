"""Rosbag2 recordings without ROS: made from frames, read as images and results, even damaged."""
