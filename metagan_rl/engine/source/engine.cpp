// The native engine: one shared object with a plain C interface, built by metagan_rl/engine/build.py.

#include <cstdint>

#ifndef VL
#error "VL, the number of floats in a vector, is set by metagan_rl/engine/build.py"
#endif
#ifndef METAGAN_ENGINE_BUILD
#define METAGAN_ENGINE_BUILD "by hand"
#endif

#define METAGAN_EXPORT extern "C" __attribute__((visibility("default")))

// What the functions take and return. It goes up when that changes, in metagan_rl/engine/library.py too.
METAGAN_EXPORT int32_t metagan_engine_version(void) { return 1; }

// Floats in a vector.
METAGAN_EXPORT int32_t metagan_engine_lanes(void) { return VL; }

// The stamp of the sources and the flags, a space, and the compiler's version.
METAGAN_EXPORT const char* metagan_engine_build(void) { return METAGAN_ENGINE_BUILD; }
