# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong: each fault is a function of the world, and draws how from world.rng.

A fault leaves things as broken as it likes; World.settle() mends them at the end of the round.
It counts what it did with world.count().
"""
import time

from common import Broken, NODES, other

# A promotion that was refused is asked again when something has changed, or after this.
RETRY_S = 2


def hold(world, longest_s=None):
    """For how long a fault lasts, or the load runs before the next."""
    time.sleep(world.rng.uniform(0.05, longest_s or world.cluster.longest_s))


def silence_s(world):
    """Longer than the peer's patience."""
    return world.cluster.peer_timeout_s * world.rng.uniform(1.1, 1.5)


def kill_engine(world, node=None):
    node = node or world.rng.choice(NODES)
    if not world.cluster.runs(node):
        return
    world.kill(node)
    world.count("engine killed")


def crash(world):
    """An engine is killed; sometimes again while it comes back."""
    node = world.rng.choice(NODES)
    kill_engine(world, node)
    hold(world)
    world.start(node)
    if world.rng.random() < 0.3:
        hold(world, 0.3)
        kill_engine(world, node)
        world.start(node)


def crash_both(world):
    order = world.rng.sample(NODES, 2)
    for node in order:
        kill_engine(world, node)
    hold(world)
    world.start(*world.rng.sample(NODES, 2))


def crash_in_turn(world):
    """The peer dies while it is still being brought up to date, or the source does."""
    first = world.rng.choice(NODES)
    kill_engine(world, first)
    hold(world)
    world.start(first)
    hold(world, 0.2)
    kill_engine(world, world.rng.choice(NODES))


def kill_clients(world):
    for v in world.volumes:
        for node in list(v.writer):
            if world.rng.random() < 0.5:
                v.kill_writer(node)
                world.count("client killed")
    world.start_writers()


def crash_with_clients(world):
    node = world.rng.choice(NODES)
    for v in world.volumes:
        if node in v.writer:
            v.kill_writer(node)
            world.count("client killed")
    kill_engine(world, node)
    hold(world)
    world.start(node)
    world.start_writers()


def pause(world):
    """Shorter or longer than its peer waits."""
    node = world.rng.choice(NODES)
    if not world.up(node):
        return
    world.pause(node)
    world.count("engine paused")
    if world.rng.random() < 0.3:
        hold(world)
    else:
        time.sleep(silence_s(world))
    world.go_on(node)


def partition(world):
    how = world.rng.choice(world.cluster.wire_faults)
    world.set_wire(how)
    world.count("link cut" if how == "cut" else "link silent")
    if how == "cut" or world.rng.random() < 0.4:
        hold(world)
    else:
        time.sleep(silence_s(world))
    world.set_wire("mended")


def flap(world):
    """Cut again and again: each session is drained before the next."""
    for _ in range(world.rng.randint(2, 4)):
        world.set_wire("cut")
        world.count("link cut")
        hold(world, 0.2)
        world.set_wire("mended")
        hold(world, 0.6)


def promote(world, v, node):
    """Asks until the engine lets go of its old session; False: it has no whole copy."""
    end = time.monotonic() + 3 * world.cluster.peer_timeout_s + 10
    while True:
        seen = world.cluster.changes.count
        answer, why = world.cluster.ask(node, command="promote", volume=v.name)
        if answer:
            world.count("promoted")
            return True
        if "consistent" in why or "resync" in why:
            world.count("promotion refused")
            return False
        if time.monotonic() > end:
            raise Broken("%s could not be promoted at %s: %s" % (v.name, node, why))
        world.cluster.changes.await_next(seen, RETRY_S)


def takeover(world, how=None):
    """The other side is promoted while the primary is dead, asleep or cut off.  False: it cannot be."""
    free = [v for v in world.volumes if not v.fork and not v.broken and world.up(v.primary) and
            world.up(other(v.primary))]
    if not free or world.wire != "mended":
        return False
    v = world.rng.choice(free)
    old, new = v.primary, other(v.primary)
    how = how or world.rng.choice(world.cluster.takeovers)
    mark = v.mark()
    if how == "cut off":
        v.open_fork(True, mark)
        world.set_wire("cut")
        world.count("link cut")
    elif how == "paused":
        world.pause(old)
        world.count("engine paused")
        v.open_fork(False, mark)
    elif how == "without power":
        v.open_fork(True, mark)  # it goes on until its power is gone
        lose_power(world, old)
    else:
        if how != "killed":
            v.kill_writer(old)
            world.count("client killed")
        kill_engine(world, old)
        v.open_fork(False, mark)
    world.say("%s: %s is %s, %s%s is promoted" %
              (v.name, old, how, new, "" if mark else ", perhaps behind,"))
    if promote(world, v, new):
        if new in world.dubious:
            v.note(new, "loss")
        v.start_writer(new)
    else:
        # Nothing has happened: the old primary is the only one.
        v.join_fork(old, False)
    hold(world)
    world.mend()
    return True


def lose_power(world, *nodes):
    """What the node had not flushed is gone, and so are its clients."""
    for node in nodes:
        world.paused.discard(node)
        world.dubious.add(node)
        world.count("power cut")
    world.cluster.power_cut(*nodes)
    for v in world.volumes:
        for node in nodes:
            v.lost_power(node)


def takeover_from_powerless(world):
    if not takeover(world, "without power"):
        power_cut(world)


def power_cut(world):
    node = world.rng.choice(NODES)
    lose_power(world, node)
    hold(world)
    world.start(node)


def power_cut_both(world):
    lose_power(world, *world.rng.sample(NODES, 2))
    world.start(*world.rng.sample(NODES, 2))


def bad_wire(world):
    """Packets are lost, or late."""
    world.set_wire(world.rng.choice(("loss 2", "loss 10", "delay 5", "delay 50")))
    world.count("link lossy or slow")
    hold(world)
    world.set_wire("mended")


def bad_areas(world, node, operations):
    """A few places of the node's volumes, of 4 KiB to 1 MiB."""
    areas = []
    for _ in range(world.rng.randint(1, 6)):
        extent = world.rng.choice(world.rng.choice(world.volumes).extents(node))
        length = 4096 << world.rng.randint(0, 8)
        offset = extent["offset"] + world.rng.randrange(0, extent["length"], 4096)
        areas.append((world.rng.choice(operations), offset, length))
    return areas


def bad_blocks(world):
    """A disk cannot read or write some blocks, for a while."""
    node = world.rng.choice(NODES)
    operations = world.rng.choice((("read",), ("write", "zeroes"), ("read", "write", "zeroes")))
    world.spoil(node, bad_areas(world, node, operations))
    world.count("disk with bad blocks")
    hold(world)
    if world.rng.random() < 0.5:
        world.spoil(node, [])


def dead_disk(world):
    """Nothing can be written to a disk any more, the metadata neither."""
    node = world.rng.choice(NODES)
    everything = 1 << 40
    words = world.rng.choice((("write", "zeroes", "flush"), ("flush",),
                              ("read", "write", "zeroes", "flush")))
    world.spoil(node, [(word, 0, everything) for word in words])
    world.count("disk dead for a while")
    hold(world)
    world.spoil(node, [])


def switch_over(world):
    """In peace: demoted here, promoted there."""
    free = [v for v in world.volumes if not v.fork and not v.broken]
    if not free or not all(world.up(node) for node in NODES) or world.wire != "mended":
        return
    v = world.rng.choice(free)
    if world.cluster.ask(v.primary, command="resume", volume=v.name)[1]:
        return
    if v.primary in v.writer:
        v.stop_writer(v.primary)
    answer, why = world.cluster.ask(v.primary, command="demote", volume=v.name)
    if not answer:
        world.say("%s is not demoted: %s" % (v.name, why))
        return
    new = other(v.primary)
    if world.cluster.volumes(v.primary)[v.name]["mirror"] != "synced":
        new = v.primary  # it has lost its peer meanwhile: only who may have gone on alone has everything
    answer, why = world.cluster.ask(new, command="promote", volume=v.name)
    if not answer and "lacks writes" in why and v.may_fail:
        new = v.primary  # a device failed meanwhile
    if not answer and not promote(world, v, new):
        raise Broken("%s was demoted at %s, and cannot be promoted at %s: %s" %
                     (v.name, v.primary, new, why))
    if new != v.primary:
        world.count("switched over")
    v.primary = new
    v.start_writer()


def break_and_resume(world):
    """The peer keeps a copy of this moment; sometimes that is used, and then both have writes."""
    free = [v for v in world.volumes if not v.fork and not v.broken]
    if not free or not all(world.up(node) for node in NODES):
        return
    v = world.rng.choice(free)
    node, new = world.rng.choice(NODES), other(v.primary)
    # The copy is that of the break: what the primary takes later, the peer has no more.
    v.open_fork(True, v.mark())
    if world.cluster.ask(node, command="break", volume=v.name)[0]:
        world.count("broken")
        v.broken = True
    if v.broken and world.rng.random() < 0.5 and \
            world.cluster.ask(new, command="promote", volume=v.name)[0]:
        world.count("broken copy promoted")
        v.start_writer(new)
    else:
        v.join_fork(v.primary, False)
    hold(world)


def verify(world):
    """Compares beside I/O; what goes wrong meanwhile must end it, and find no difference."""
    v = world.rng.choice(world.volumes)
    if not v.fork and world.up(v.primary) and \
            world.cluster.ask(v.primary, command="verify", volume=v.name, wait=False)[0]:
        world.count("verify begun")


def expand(world):
    v = world.rng.choice(world.volumes)
    if v.fork or not world.up(v.primary) or v.bytes >= (world.cluster.volume_mib + 8) << 20:
        return
    larger = v.bytes + (world.rng.randint(1, 2) << 20)
    if world.cluster.ask(v.primary, command="expand", volume=v.name, size=larger)[0]:
        world.count("expanded")


COMMON = (crash, crash, crash_both, crash_in_turn, kill_clients, crash_with_clients, pause,
          partition, partition, flap, takeover, takeover, switch_over, break_and_resume, expand,
          verify)
NATIVE = COMMON + (bad_blocks, bad_blocks, dead_disk)


def draw_native(rng):
    return rng.choices(NATIVE, k=rng.randint(1, 3))


# The lab's rounds are long: each has something of the power, the wire and the processes.
LAB_POWER = (power_cut, power_cut_both, takeover_from_powerless)
LAB_PROCESSES = (crash, crash_both, crash_in_turn, kill_clients, crash_with_clients)
LAB_OTHER = (pause, partition, bad_wire, takeover, switch_over, break_and_resume, expand, verify)


def draw_lab(rng):
    drawn = [flap, rng.choice(LAB_POWER)] + rng.choices(LAB_PROCESSES, k=3)
    drawn += rng.choices(LAB_OTHER, k=rng.randint(0, 1))
    rng.shuffle(drawn)
    return drawn
