"""How fast Postwerk sends, and how fast Postfix does beside it. The last line printed is JSON.

python -m bench [all|send|postfix|single|size|bad-day|queue|page|screens] [--recipients 10000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from typing import Any

import orjson

from bench import bad_day, page, postfix, queue, screens, send, signed, single, size
from bench.programs import Missing, need_programs
from postwerk.errors import PostwerkError

Figures = dict[str, Any]


def main() -> int:
    wanted = _arguments()
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        sink = ("smtp-sink",) if wanted.step not in ("bad-day", "queue", "screens") else ()
        peer = ("postfix", "smtp-source") if wanted.step in ("all", "postfix") else ()
        need_programs(*sink, *peer)
        figures = STEPS[wanted.step](wanted)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    except PostwerkError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    print(orjson.dumps(figures).decode())
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("step", nargs="?", default="all", choices=STEPS)
    parser.add_argument("--recipients", type=int, default=10_000, help="mails of one run (default 10,000)")
    parser.add_argument("--many", type=int, default=100_000, help="mails of the step size (default 100,000)")
    parser.add_argument("--single", type=int, default=50, help="sends of the step single (default 50)")
    parser.add_argument(
        "--messages",
        type=int,
        default=1_000_000,
        help="messages of the steps queue, page and screens (default 1,000,000)",
    )
    parser.add_argument("--file", type=int, default=0, metavar="KB", help="goes along with --signed mails")
    parser.add_argument(
        "--signed",
        choices=("ed25519", "rsa"),
        help="in the step send: plain, and signed with List-Unsubscribe and bounce addresses, in turn",
    )
    parser.add_argument(
        "--beside", type=int, default=20_000, help="mails that go out while step single goes on (20,000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs whose median counts (default 3)")
    return parser.parse_args()


def measure_all(wanted: argparse.Namespace) -> Figures:
    """Ours and Postfix in turn, so that whatever else the machine does hits both."""
    ours, peers = [], []
    for _ in range(wanted.rounds):
        ours.append(send.measure_round(wanted.recipients))
        peers.append(postfix.measure_round(wanted.recipients))
    figures = send.medians(ours) | postfix.medians(peers)
    figures["ratio"] = round(figures["postwerk_per_s"] / figures["postfix_per_s"], 2)
    with_intake = figures["postwerk_with_upload_per_s"] / figures["postfix_pump_per_s"]
    figures["ratio_with_intake"] = round(with_intake, 2)
    figures |= send.measure_children_of_one()
    return figures | measure_single(wanted) | measure_size(wanted)


def measure_send(wanted: argparse.Namespace) -> Figures:
    if wanted.signed:
        return send.medians(
            [
                signed.measure_round(wanted.recipients, wanted.signed, wanted.file)
                for _ in range(wanted.rounds)
            ]
        )
    rounds = [send.measure_round(wanted.recipients) for _ in range(wanted.rounds)]
    return send.medians(rounds) | send.measure_children_of_one()


def measure_postfix(wanted: argparse.Namespace) -> Figures:
    return postfix.medians([postfix.measure_round(wanted.recipients) for _ in range(wanted.rounds)])


def measure_single(wanted: argparse.Namespace) -> Figures:
    return single.measure(wanted.single, wanted.beside)


def measure_size(wanted: argparse.Namespace) -> Figures:
    return size.measure(wanted.recipients, wanted.many)


def measure_bad_day(wanted: argparse.Namespace) -> Figures:
    return bad_day.measure(wanted.recipients)


def measure_queue(wanted: argparse.Namespace) -> Figures:
    return queue.measure(wanted.messages)


def measure_page(wanted: argparse.Namespace) -> Figures:
    return page.measure(wanted.recipients, wanted.messages, wanted.rounds)


def measure_screens(wanted: argparse.Namespace) -> Figures:
    return screens.measure(wanted.messages)


STEPS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "all": measure_all,
    "send": measure_send,
    "postfix": measure_postfix,
    "single": measure_single,
    "size": measure_size,
    "bad-day": measure_bad_day,
    "queue": measure_queue,
    "page": measure_page,
    "screens": measure_screens,
}


def _as_interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
