"""The bond of a node with the lifecycle manager, which watches for its end."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

try:
    from bondpy import bondpy
except ImportError:  # not on PyPI
    bondpy = None

TOPIC = "bond"  # of Nav2's lifecycle manager, which takes the node's name as id


class Bond:
    """A bond while the node is active, if bondpy is installed; else nothing."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._bond: Any = None

    def form(self) -> None:
        """Start to answer the lifecycle manager, if there is one."""
        if bondpy is None:
            return
        try:
            self._bond = bondpy.Bond(self._node, TOPIC, self._node.get_name())
            self._bond.start()
        except Exception as error:  # such as bondpy of ROS 1
            self._bond = None
            self._node.get_logger().warning(
                f"no bond: bondpy fails ({error}); set bond_timeout: 0.0 of the lifecycle manager"
            )

    def end(self) -> None:
        """Tell the lifecycle manager that the node ends its work."""
        bond, self._bond = self._bond, None
        if bond is not None:
            try:
                bond.shutdown()
            except Exception as error:
                self._node.get_logger().warning(f"the bond does not end: {error}")
