"""Segments: reserved, private, exclusive, alive exactly as long as their process."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest
from conftest import StartProgram
from lanes import fresh_address

from expman.errors import ConfigError
from expman.transport import places, segment
from expman.transport.places import SHM
from expman.transport.segment import Address

SIZE = 16 * 1024
TOKEN = "0123456789abcdef" * 2


@pytest.fixture(params=["shm", "directory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both places that a segment can be in."""
    return SHM if request.param == "shm" else str(tmp_path)


@pytest.fixture
def name(place: str) -> Iterator[str]:
    """A name of this test's own, removed at the end."""
    with fresh_address(place) as address:
        yield address.segment(0)


def path_of(place: str, name: str) -> Path:
    return Path("/dev/shm" if place == SHM else place, name)


# -- addresses ---------------------------------------------------------------------


@pytest.mark.parametrize("place", [SHM, "/tmp/expman-0", "/a:b/c", "relative"])
def test_an_address_survives_its_text(place: str) -> None:
    """parse() reads what str() wrote, colons in the directory included."""
    address = Address(place, TOKEN)

    assert address == Address.parse(str(address))


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "shm", "shm:", f":{TOKEN}", TOKEN, f"shm:{TOKEN[:-1]}", f"shm:{TOKEN}0"),
        *(f"shm:{TOKEN[:-1]}g", f"shm:{TOKEN.upper()}", f"shm:{TOKEN[:-1]}/", f"shm:{TOKEN} "),
    ],
)
def test_no_address_is_refused(text: str) -> None:
    """A token is 32 lower-case hexadecimal digits: nothing else gets into a file name."""
    with pytest.raises(ConfigError):
        Address.parse(text)


def test_names_of_an_address_its_lanes_and_terms() -> None:
    """The names are those of the documented layout."""
    address = Address(SHM, TOKEN)

    assert f"expman-{TOKEN}" == address.segment()
    assert f"expman-{TOKEN}-3" == address.segment(3)
    assert f"expman-{TOKEN}-3-0" == address.segment(3, 0)


def test_fresh_addresses_differ() -> None:
    """A token has 128 random bits."""
    assert 100 == len({Address.fresh(SHM).token for _ in range(100)})


# -- creating ------------------------------------------------------------------------


def test_a_new_segment_is_private_zero_and_sized(place: str, name: str) -> None:
    """Mode 0600 whatever the umask, the asked size, zeros."""
    before = os.umask(0)
    try:
        memory = segment.create(place, name, SIZE)
    finally:
        os.umask(before)
    info = path_of(place, name).stat()

    assert 0o600 == stat.S_IMODE(info.st_mode)
    assert (SIZE, SIZE) == (info.st_size, memory.size)
    assert bytes(SIZE) == memory.map()[:]
    memory.close()


def test_its_memory_is_reserved(place: str, name: str) -> None:
    """Every block is allocated before the first store."""
    memory = segment.create(place, name, SIZE)

    assert SIZE <= 512 * path_of(place, name).stat().st_blocks
    memory.close()


def test_a_name_is_taken_once(place: str, name: str) -> None:
    """Creation is exclusive, and a refused one leaves the segment as it is."""
    first = segment.create(place, name, SIZE)
    first.map()[0:4] = b"mine"

    with pytest.raises(FileExistsError):
        segment.create(place, name, SIZE)

    assert b"mine" == segment.attach(place, name).map()[0:4]
    first.close()


def test_attaching_shares_the_bytes(place: str, name: str) -> None:
    """Two mappings are one memory; each has a position of its own."""
    memory = segment.create(place, name, SIZE)
    ours, theirs = memory.map(), segment.attach(place, name).map()

    ours.write(b"hello")

    assert b"hello" == theirs.read(5)
    memory.close()


def test_multiprocessing_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment is what multiprocessing calls shared memory, and opens by its name."""
    monkeypatch.setattr("multiprocessing.resource_tracker.register", lambda *_: None)
    with fresh_address() as address:
        memory = segment.create(SHM, address.segment(0), SIZE)
        theirs = SharedMemory(address.segment(0))

        memory.map().write(b"hello")

        assert (SIZE, b"hello") == (theirs.size, bytes(theirs.buf[:5]))
        theirs.close()
        memory.close()


def test_attaching_what_is_not_there(place: str) -> None:
    """An absent segment is FileNotFoundError in either place."""
    with pytest.raises(FileNotFoundError):
        segment.attach(place, f"expman-{TOKEN}-absent")


def test_attaching_what_is_not_sized_yet(place: str, name: str) -> None:
    """Between creation and reservation a segment counts as absent; it can be removed."""
    path_of(place, name).touch(0o600)

    with pytest.raises(FileNotFoundError):
        segment.attach(place, name)
    segment.remove(place, name)

    assert not path_of(place, name).exists()


def test_no_link_is_followed(tmp_path: Path) -> None:
    """In a directory a symbolic link in the place of a segment is refused."""
    (tmp_path / "elsewhere").write_bytes(b"x" * 100)
    (tmp_path / "expman-link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        segment.attach(str(tmp_path), "expman-link")


def test_removing_twice(place: str, name: str) -> None:
    """unlink() and remove() do not mind that the name is gone; mappings live on."""
    memory = segment.create(place, name, SIZE)
    mapping = memory.map()
    mapping[0:4] = b"here"

    segment.remove(place, name)
    segment.remove(place, name)
    memory.unlink()
    memory.close()
    memory.close()

    assert b"here" == mapping[0:4]
    assert not path_of(place, name).exists()


def test_listing(place: str, name: str, tmp_path: Path) -> None:
    """Only regular files of ours with our prefix are listed; a missing place has none."""
    segment.create(place, name, SIZE).close()
    if place != SHM:
        (tmp_path / "other").touch()
        (tmp_path / "expman-directory").mkdir()
        (tmp_path / "expman-link").symlink_to("other")
        assert [name[: -len("-0")], name] == places.list_names(place)

    assert name in places.list_names(place)
    assert [] == places.list_names(str(tmp_path / "absent"))


# -- room ------------------------------------------------------------------------------


@pytest.fixture
def small_place(tmp_path: Path) -> Iterator[str]:
    """A tmpfs of 256 KiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    yield str(directory)
    subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.root
def test_no_room_is_an_error_not_a_signal(small_place: str) -> None:
    """ENOSPC comes at creation, before the first store, and leaves no name behind."""
    with pytest.raises(OSError, match="space") as caught:
        segment.create(small_place, "expman-large", 1 << 20)

    assert errno.ENOSPC == caught.value.errno
    assert [] == os.listdir(small_place)


def full_shm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reserving in /dev/shm fails."""
    real = os.posix_fallocate

    def fallocate(fd: int, offset: int, length: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").startswith("/dev/shm/"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", fallocate)


def ours_in_shm(token: str) -> list[str]:
    return [name for name in places.list_names(SHM) if token in name]


def test_shm_is_preferred() -> None:
    """Where there is room in /dev/shm, the address is there, and the probe is gone."""
    address, memory = segment.create_anywhere(4096, 1 << 16)

    assert SHM == address.place
    assert [address.segment()] == ours_in_shm(address.token)
    memory.unlink()
    memory.close()


def test_a_private_directory_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, disk_path: Path
) -> None:
    """Without room in /dev/shm the address is a file in a directory of mode 0700."""
    full_shm(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(disk_path))
    fresh, tried = segment.Address.fresh, list[segment.Address]()

    def note(place: str) -> segment.Address:
        tried.append(fresh(place))
        return tried[-1]

    monkeypatch.setattr(segment.Address, "fresh", staticmethod(note))

    address, memory = segment.create_anywhere(4096, 1 << 16)

    directory = disk_path / f"expman-{os.getuid()}"
    assert str(directory) == address.place == places.all_places()[1]
    assert 0o700 == stat.S_IMODE(directory.stat().st_mode)
    assert [address.segment()] == os.listdir(directory)
    assert [SHM, str(directory)] == [one.place for one in tried]
    left = [name for name in places.list_names(SHM) if tried[0].token in name]
    assert [] == left
    memory.close()


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_directory_that_is_not_private_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, disk_path: Path, kind: str
) -> None:
    """What somebody else can reach or has put there takes no records: another one does."""
    full_shm(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(disk_path))
    directory = disk_path / f"expman-{os.getuid()}"
    match kind:
        case "open to others":
            directory.mkdir()
            directory.chmod(0o755)
        case "a link":
            (disk_path / "elsewhere").mkdir(0o700)
            directory.symlink_to(disk_path / "elsewhere")
        case "a file":
            directory.touch(0o600)

    address, memory = segment.create_anywhere(4096, 1 << 16)
    memory.close()

    assert address.place.startswith(f"{directory}-")
    assert 0o700 == stat.S_IMODE(os.stat(address.place).st_mode)
    assert [address.segment()] == os.listdir(address.place)
    assert places.all_places() == [SHM, address.place]


# -- who lives -----------------------------------------------------------------------------


def test_a_lock_lives_as_long_as_its_process(program: StartProgram) -> None:
    """Held while the process lives, gone when it is killed, although nobody reaped it."""
    with fresh_address() as address:
        memory = segment.create(SHM, address.segment(0), SIZE)
        assert not memory.is_locked()
        user = program("segment_user.py")
        user.send_line(f"lock {address.segment(0)}")
        user.expect_line("locked")

        assert memory.is_locked()
        assert not memory.try_lock()
        os.kill(user.pid, 9)
        os.waitid(os.P_PID, user.pid, os.WEXITED | os.WNOWAIT)  # a zombie now

        assert not memory.is_locked()
        assert memory.try_lock()
        user.wait()
        memory.close()


def test_a_forked_child_does_not_keep_it_alive(program: StartProgram) -> None:
    """The child has inherited the descriptor, not the lock."""
    with fresh_address() as address:
        memory = segment.create(SHM, address.segment(0), SIZE)
        user = program("segment_user.py")
        user.send_line(f"lock {address.segment(0)}")
        user.expect_line("locked")
        user.send_line(f"fork {address.segment(0)}")
        child = int(user.read_line())

        os.kill(user.pid, 9)
        user.wait()

        os.kill(child, 0)  # it is there
        assert not memory.is_locked()
        user.close_stdin()  # and ends now
        memory.close()


def test_asking_takes_nothing(program: StartProgram) -> None:
    """is_locked() only asks: a process can take the lock afterwards."""
    with fresh_address() as address:
        memory = segment.create(SHM, address.segment(0), SIZE)
        assert not memory.is_locked()
        user = program("segment_user.py")
        user.send_line(f"lock {address.segment(0)}")

        user.expect_line("locked")
        memory.close()


def test_a_process_that_attached_takes_nothing_with_it(program: StartProgram) -> None:
    """No resource tracker is started by attaching, and none unlinks the segment at exit."""
    with fresh_address() as address:
        memory = segment.create(SHM, address.segment(0), SIZE)
        user = program("segment_user.py")
        user.send_line(f"attach {address.segment(0)}")
        user.expect_line("attached")
        user.send_line("tracker")
        user.expect_line("children")
        user.send_line("exit")
        user.succeed()

        assert "" == user.stderr
        assert b"seen" == memory.map()[0:4]
        assert path_of(SHM, address.segment(0)).exists()
        memory.close()


def test_a_creator_that_exits_leaves_its_segment(program: StartProgram) -> None:
    """The segment outlives its creator, without a tracker and without a warning."""
    with fresh_address() as address:
        name = address.segment(0)
        code = (
            "import sys; from expman.transport import places, segment; "
            f"segment.create('shm', {name!r}, 4096).map()[0:4] = b'left'; "
            "from multiprocessing import resource_tracker; "
            "print(resource_tracker._resource_tracker._pid)"
        )

        user = program(["-W", "error", "-c", code])

        assert ("None\n", "") == (user.succeed(), user.stderr)
        assert b"left" == segment.attach(SHM, name).map()[0:4]
