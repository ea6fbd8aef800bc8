"""What is dropped when the bus stays away."""

from agent.domain.buffering import Buffer, Parcel, Weight


def parcel(name: str, weight: Weight, size: int = 10) -> Parcel:
    return Parcel(name, name, b"x" * size, weight)


def drain(buffer: Buffer) -> list[str]:
    names = []
    while (head := buffer.peek()) is not None:
        names.append(head.subject)
        buffer.done(head)
    return names


def test_messages_leave_in_order_and_only_the_last_heartbeat() -> None:
    buffer = Buffer(max_bytes=1000)
    for name, weight in (("h1", Weight.LATEST), ("d1", Weight.STATE), ("h2", Weight.LATEST)):
        buffer.put(parcel(name, weight))
    assert drain(buffer) == ["d1", "h2"]
    assert buffer.size_bytes == 0


def test_samples_go_first() -> None:
    buffer = Buffer(max_bytes=30)
    for name, weight in (
        ("u1", Weight.SAMPLE),
        ("d1", Weight.STATE),
        ("d2", Weight.STATE),
        ("d3", Weight.STATE),
    ):
        buffer.put(parcel(name, weight))
    assert drain(buffer) == ["d1", "d2", "d3"]
    assert not buffer.has_lost_state


def test_a_dropped_delta_takes_all_waiting_state_with_it_but_no_outcome() -> None:
    buffer = Buffer(max_bytes=30)
    for name, weight in (
        ("d1", Weight.STATE),
        ("o1", Weight.OUTCOME),
        ("d2", Weight.STATE),
        ("d3", Weight.STATE),
    ):
        buffer.put(parcel(name, weight))
    assert buffer.has_lost_state
    assert buffer.has_room
    assert drain(buffer) == ["o1"]


def test_what_was_dropped_while_it_was_sent_is_not_taken_from_its_successor() -> None:
    buffer = Buffer(max_bytes=1000)
    buffer.put(parcel("h1", Weight.LATEST))
    sending = buffer.peek()
    buffer.put(parcel("h2", Weight.LATEST))
    assert sending is not None
    buffer.done(sending)
    assert drain(buffer) == ["h2"]
