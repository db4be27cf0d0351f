"""The native engine's objects: built where a compiler is, loaded where the CPU can, refused by name where damaged."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metagan_rl.engine import Library, NoLibrary, load_library
from metagan_rl.engine.build import (
    COMMAND,
    OBJECTS,
    SOURCE,
    BuildError,
    build,
    checksum,
    checksum_path,
    find_compiler,
    is_current,
    stamp,
    variants_here,
)
from metagan_rl.engine.library import VARIABLE, VERSION, cpu_flags, find_library
from metagan_rl.errors import UnknownNameError

HERE = variants_here()
RUNNABLE = [variant for variant in HERE if variant.needs <= cpu_flags()]
pytestmark = pytest.mark.skipif(not RUNNABLE, reason="for want of a CPU that the native engine is built for")

STUB = """
#include <cstdint>
#include <string>
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT int32_t metagan_engine_version(void) { return VERSION; }
EXPORT int32_t metagan_engine_lanes(void) { return LANES; }
EXPORT const char* metagan_engine_build(void) { return METAGAN_ENGINE_BUILD; }
EXPORT int64_t use_the_standard_library(int64_t number) { return std::stoll(std::to_string(number)); }
"""


def write_stub(folder: Path, version: int = VERSION, lanes: str = "VL") -> Path:
    """The smallest engine there can be, which compiles at once."""
    folder.mkdir(parents=True, exist_ok=True)
    text = STUB.replace("VERSION", str(version)).replace("LANES", lanes)
    (folder / "engine.cpp").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a source and the objects built of it; only to be read."""
    try:
        find_compiler()
    except BuildError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("engine")
    report = build(folder / "objects", write_stub(folder / "source"))
    assert report.complete and report.variants == HERE, report.message
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """The same, to be spoilt."""
    return shutil.copytree(made, tmp_path / "engine")


def found(folder, wanted="", **options):
    return find_library(wanted, folder / "objects", folder / "source", **options)


def seal(path):
    """Gives a file the checksum that it ought to have."""
    checksum_path(path).write_text(checksum(path, path.name), encoding="ascii")


def libc():
    """A shared object that is sound, and not ours."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    return Path(re.search(r"/\S*/(libc\.so\.6|libc\.musl\S*|libc-\S*\.so)$", maps, flags=re.MULTILINE)[0])


def test_the_best_variant_of_this_cpu_is_loaded(made):
    library = found(made)
    assert isinstance(library, Library)
    best = RUNNABLE[0]
    assert (library.variant, library.lanes, library.path) == (best.name, best.lanes, best.path(made / "objects"))
    assert library.build == f"{stamp(best, made / 'source')} {find_compiler().version}"
    assert library.handle.use_the_standard_library(41) == 41


@pytest.mark.parametrize("variant", RUNNABLE, ids=lambda variant: variant.name)
def test_a_variant_can_be_named(made, variant):
    library = found(made, variant.name)
    assert isinstance(library, Library)
    assert (library.variant, library.lanes) == (variant.name, variant.lanes)


@pytest.mark.parametrize("variant", HERE, ids=lambda variant: variant.name)
def test_a_cpu_gets_the_variant_that_it_runs_and_no_better_one(made, variant):
    if variant not in RUNNABLE:
        pytest.skip(f"for want of a CPU that runs {variant.name}")
    assert found(made, cpu=variant.needs).variant == variant.name


@pytest.mark.parametrize("lacking", sorted(HERE[-1].needs) if HERE else [])
def test_a_cpu_that_lacks_anything_is_told_what(made, lacking):
    told = found(made, cpu=HERE[-1].needs - {lacking})
    assert isinstance(told, NoLibrary)
    assert told.reason.endswith(f"this CPU lacks {lacking}")


def test_objects_need_no_library_but_those_of_c(made):
    if not shutil.which("readelf"):
        pytest.skip("for want of readelf")
    for variant in HERE:
        line = ["readelf", "-d", str(variant.path(made / "objects"))]
        text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", text)
        assert [name for name in needed if not re.match(r"(libc|libm|ld-linux|ld-musl)\b", name)] == []


def emptied(path):
    path.write_bytes(b"")


def turned_into_text(path):
    path.write_text("an engine\n", encoding="utf-8")


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def one_bit_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replaced_by_libc(path):
    shutil.copyfile(libc(), path)


def given_another_machine(path):
    content = bytearray(path.read_bytes())
    content[18:20] = (8).to_bytes(2, "little")  # e_machine of the ELF header: MIPS
    path.write_bytes(content)


DAMAGES = [emptied, turned_into_text, truncated, one_bit_flipped, replaced_by_libc, given_another_machine]
FOREIGN = [emptied, turned_into_text, replaced_by_libc, given_another_machine]


def assert_refused(folder, why):
    """The best object is refused in one line with its name, and the next best is taken; without one, torch trains."""
    path = RUNNABLE[0].path(folder / "objects")
    with pytest.warns(RuntimeWarning) as caught:
        told = found(folder)
    (message,) = [str(each.message) for each in caught]
    assert message.startswith(f"{path} is refused: ") and message.endswith(f"; build it again: {COMMAND}")
    assert re.search(why, message) and "\n" not in message
    if len(RUNNABLE) > 1:
        assert told.variant == RUNNABLE[1].name
    with pytest.warns(RuntimeWarning, match=why):
        told = found(folder, RUNNABLE[0].name)
    assert isinstance(told, NoLibrary) and COMMAND in told.reason


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_object_is_refused(copy, damage):
    damage(RUNNABLE[0].path(copy / "objects"))
    assert_refused(copy, "its checksum differs")


@pytest.mark.parametrize("damage", FOREIGN)
def test_a_foreign_object_is_refused_though_its_checksum_holds(copy, damage):
    path = RUNNABLE[0].path(copy / "objects")
    damage(path)
    seal(path)
    assert_refused(copy, r"it is not the native engine \(" if damage is replaced_by_libc else r"it cannot be loaded \(")


def test_an_object_without_a_checksum_is_refused(copy):
    checksum_path(RUNNABLE[0].path(copy / "objects")).unlink()
    assert_refused(copy, "it has no checksum beside it")


def test_an_object_of_other_sources_is_refused(copy):
    with (copy / "source" / "engine.cpp").open("a", encoding="utf-8") as file:
        file.write("// a change\n")
    with pytest.warns(RuntimeWarning) as caught:
        told = found(copy)
    assert isinstance(told, NoLibrary) and COMMAND in told.reason
    assert len(caught) == len(RUNNABLE)
    assert all("built from other sources" in str(each.message) for each in caught)


def test_objects_whose_sources_are_not_there_are_loaded(copy):
    shutil.rmtree(copy / "source")
    assert isinstance(found(copy), Library)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": VERSION + 1}, f"its interface has version {VERSION + 1}, this release needs {VERSION}"),
        ({"lanes": "3"}, "its vectors hold 3 floats"),
    ],
)
def test_an_object_of_another_interface_is_refused(made, tmp_path, changed, why):
    assert build(tmp_path / "objects", write_stub(tmp_path / "source", **changed)).complete
    with pytest.warns(RuntimeWarning, match=why):
        assert isinstance(found(tmp_path), NoLibrary)


def test_where_nothing_was_built_the_reason_says_what_to_do(tmp_path):
    told = found(tmp_path)
    assert isinstance(told, NoLibrary)
    assert f"run {COMMAND}, which needs a C++ compiler" in told.reason


def test_the_environment_variable_names_the_variant(monkeypatch):
    monkeypatch.setenv(VARIABLE, "none")
    assert load_library() == NoLibrary(f"the native engine is switched off: {VARIABLE} is 'none'")
    monkeypatch.setenv(VARIABLE, f"{HERE[0].name}x")
    with pytest.raises(UnknownNameError, match=f"did you mean {HERE[0].name}"):
        load_library()


def test_the_variant_of_another_machine_is_none_here(monkeypatch, tmp_path):
    other = "x86-64-v3" if platform.machine() == "aarch64" else "aarch64"
    told = found(tmp_path, other)
    assert isinstance(told, NoLibrary)
    assert repr(other) in told.reason and HERE[0].name in told.reason


def test_another_system_has_none_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "system", lambda: "Plan9")
    told = found(tmp_path)
    assert isinstance(told, NoLibrary) and "Plan9" in told.reason
    report = build(tmp_path / "objects", tmp_path / "source")
    assert not report.complete and "Plan9" in report.message


def test_what_lies_beside_the_package_is_loaded_once(monkeypatch):
    if not RUNNABLE[0].path().exists():
        pytest.skip("because the native engine is not built here")
    monkeypatch.delenv(VARIABLE, raising=False)
    assert isinstance(load_library(), Library)
    assert load_library() is load_library()
    assert RUNNABLE[0].path().parent == OBJECTS


def test_importing_loads_no_object_and_no_loader():
    code = """
        import sys, metagan_rl, metagan_rl.engine
        assert not [name for name in sys.modules if name.startswith("metagan_rl.engine.")]
        assert "metagan_engine" not in open("/proc/self/maps").read()
    """
    subprocess.run([sys.executable, "-c", re.sub("^ +", "", code, flags=re.MULTILINE)], check=True)


def test_building_needs_nothing_but_the_standard_library():
    code = f"import runpy; runpy.run_path({str(SOURCE.parent / 'build.py')!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_only_what_changed_is_built_again(copy):
    paths = [variant.path(copy / "objects") for variant in HERE]
    before = [path.stat().st_mtime_ns for path in paths]
    assert build(copy / "objects", copy / "source").message.endswith("up to date")
    assert [path.stat().st_mtime_ns for path in paths] == before
    truncated(paths[0])
    assert build(copy / "objects", copy / "source").complete
    assert [path.stat().st_mtime_ns == time for path, time in zip(paths, before, strict=True)] == [False, True][
        : len(HERE)
    ]
    (copy / "source" / "more.h").write_text("// a header\n", encoding="utf-8")
    assert not any(is_current(variant, None, copy / "objects", copy / "source") for variant in HERE)
    assert build(copy / "objects", copy / "source").complete
    assert isinstance(found(copy), Library)


@pytest.mark.parametrize("variable", ["CXX", "PATH"])
def test_without_a_compiler_one_line_says_so(monkeypatch, tmp_path, variable):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    report = build(tmp_path / "objects", write_stub(tmp_path / "source"))
    assert not report.complete and report.variants == ()
    assert "\n" not in report.message
    assert "for want of a C++ compiler" in report.message and COMMAND in report.message


def test_without_a_compiler_objects_of_these_sources_stay_and_others_go(monkeypatch, copy):
    monkeypatch.setenv("CXX", "/bin/false")
    assert build(copy / "objects", copy / "source").complete
    assert isinstance(found(copy), Library)
    (copy / "source" / "more.h").write_text("// a header\n", encoding="utf-8")
    assert build(copy / "objects", copy / "source").variants == ()
    assert list((copy / "objects").iterdir()) == []
    assert isinstance(found(copy), NoLibrary)


def test_a_fault_in_the_sources_is_told_as_the_compiler_tells_it(copy):
    (copy / "source" / "engine.cpp").write_text("int here_is_none(\n", encoding="utf-8")
    report = build(copy / "objects", copy / "source")
    assert not report.complete and report.variants == ()
    assert "torch trains" in report.message.splitlines()[0] and "here_is_none" in report.message
    assert list((copy / "objects").iterdir()) == []


def test_a_function_that_is_nowhere_is_told_at_the_build(copy):
    with (copy / "source" / "engine.cpp").open("a", encoding="utf-8") as file:
        file.write("int nowhere(); EXPORT int call() { return nowhere(); }\n")
    report = build(copy / "objects", copy / "source")
    assert not report.complete and "nowhere" in report.message


def test_a_folder_that_cannot_be_written_to_is_told(made, tmp_path):
    (tmp_path / "objects").write_text("no folder", encoding="utf-8")
    report = build(tmp_path / "objects", made / "source")
    assert not report.complete
    assert "cannot be written" in report.message and str(tmp_path) in report.message
