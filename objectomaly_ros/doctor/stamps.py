"""Stamps of images, and the clock by which the node reads them."""

from __future__ import annotations

from itertools import pairwise

from objectomaly_ros.doctor.findings import Finding, Level
from objectomaly_ros.doctor.graph import Graph, Seen, in_words, names_of

CLOCK = "/clock"
_FAR_S = 1.0  # TF keeps 10 s, and planners drop obstacles that are older than about 1 s
_FUTURE_S = 0.1
_OTHER_DAY_S = 3600.0


def clock_findings(graph: Graph) -> list[Finding]:
    """Report on /clock and the node's use_sim_time."""
    publishers = graph.topic(CLOCK).publishers
    sim = graph.node is not None and graph.node.uses_sim_time
    found = []
    if sim and not publishers:
        found.append(
            Finding(
                "error",
                CLOCK,
                "the node has use_sim_time: true, and nobody publishes /clock: its time stays 0",
                "play the bag with --clock (ros2 bag play, play_bag), or set use_sim_time:=false",
            )
        )
    if publishers and graph.node is not None and graph.node.parameters and not sim:
        found.append(
            Finding(
                "error",
                CLOCK,
                f"{names_of(publishers)} publishes /clock, and the node has use_sim_time: false",
                "start the node with use_sim_time:=true",
            )
        )
    if len(publishers) > 1:
        found.append(
            Finding(
                "error",
                CLOCK,
                f"{len(publishers)} publishers ({names_of(publishers)}): time jumps to and fro",
                "end all but one",
            )
        )
    if not publishers:
        return found or [Finding("ok", "time", "of the machine's clock: nobody publishes /clock")]
    times = [clock_s for clock_s, _ in graph.clock]
    if len(publishers) == 1 and len(set(times)) < 2:
        found.append(
            Finding(
                "warning",
                CLOCK,
                f"it stands still, at {times[-1]:.2f} s" if times else "no message of it arrives",
                "unpause the bag or the simulation",
            )
        )
    return found or [Finding("ok", CLOCK, f"from {names_of(publishers)}")]


def stamp_findings(graph: Graph) -> list[Finding]:
    """Report on the stamps of every image topic that was listened to."""
    sim = graph.node.uses_sim_time if graph.node is not None else bool(graph.clock)
    return [
        _of_topic(name, images.messages, sim)
        for name, images in sorted(graph.images.items())
        if images.messages
    ]


def _of_topic(name: str, messages: list[Seen], sim: bool) -> Finding:
    stamps = [message.stamp_s for message in messages]
    subject = f"stamps of {name}"
    if not any(stamps):
        return Finding(
            "error",
            subject,
            "are all 0: TF and planners cannot use what the node makes of these images",
            "have the driver stamp its images; for a recording: play_bag --stamps-from-log",
        )
    if len(stamps) > 2 and len(set(stamps)) == 1:
        return Finding(
            "error",
            subject,
            f"stand still at {stamps[0]:.3f} s over {len(stamps)} images",
            "have the driver stamp each image; for a recording: play_bag --stamps-from-log",
        )
    back = [a - b for a, b in pairwise(stamps) if b < a]
    if back:
        return Finding(
            "warning",
            subject,
            f"go back {len(back)} times in {len(stamps)} images, by up to {in_words(max(back))}",
            "one publisher for each topic; a bag that loops goes back once a loop, which the node "
            "survives",
        )
    return _age(subject, messages[-1], sim)


def _age(subject: str, last: Seen, sim: bool) -> Finding:
    now, whose = (last.clock_s, "/clock") if sim else (last.wall_s, "this machine's clock")
    if now is None:
        return Finding("ok", subject, "advance; without /clock nothing tells their age")
    age = now - last.stamp_s
    if -_FUTURE_S <= age <= _FAR_S:
        return Finding("ok", subject, f"advance, {in_words(age)} behind {whose}")
    where = "behind" if age > 0 else "ahead of"
    found = f"are {in_words(abs(age))} {where} {whose}"
    if sim:
        remedy = "let /clock follow the stamps (play_bag --clock-from-stamps)"
    elif abs(age) > _OTHER_DAY_S:
        remedy = (
            "for a recording: play it with --clock and start the node with use_sim_time:=true; "
            "for a camera: set its clock"
        )
    else:
        remedy = "synchronise the clocks of camera and computer (chrony, PTP), or lower the latency"
    level: Level = "error" if abs(age) > _OTHER_DAY_S else "warning"
    return Finding(level, subject, found, remedy)
