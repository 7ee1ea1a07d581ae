/* The identity of the library: a digest of the sources it was built from, as hexadecimal SHA-256.

   The build passes GUARD_SOURCES_SHA256. In a checkout, the loader compares it with the digest of the present sources,
   because an edit does not rebuild an editable installation. */

#ifndef GUARD_SOURCES_SHA256
#error "GUARD_SOURCES_SHA256 is missing: build the library with `python native/build_guard.py`"
#endif

extern const char guard_sources_sha256[65];

__attribute__((visibility("default"))) const char guard_sources_sha256[65] = GUARD_SOURCES_SHA256;
