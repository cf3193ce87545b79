/* Atomic words.  The name of each operation says its memory ordering, and tests/litmus/ what depends on that:
 *
 *   relaxed   atomic, and nothing more
 *   acquire what another thread wrote before its release is visible after it.  A compare-and-swap that acquires does so
 *             where it fails, too: whoever finds the word changed may rely on what the other thread did before.
 *   release   what this thread wrote before is visible to whoever acquires the value.  A compare-and-swap that releases
 *             is relaxed where it fails.
 *
 * No operation is sequentially consistent.  That would matter where two threads each write one word and then look at
 * the other's: without a common order both could find the old value.  Here such threads have a mutex in common, or what
 * they write and what they look at is one word, as PARKED is in the word of its primitive.  All code goes through these
 * functions, so that a test build can put a scheduler in their place.
 *
 * A load returns the word, a store replaces it; an exchange replaces it, an addition adds to it, and both return what
 * it was before.  The compare-and-swaps store `desired` and return true where the word is `*expected`; otherwise they
 * load the word into `*expected` and return false.  They never fail spuriously.  None of these blocks. */

#ifndef FL_ATOMIC_H
#define FL_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/compiler.h"

typedef _Atomic(uint32_t) fl_atomic_u32;
typedef _Atomic(uint64_t) fl_atomic_u64 FL_ALIGNED(8);
typedef _Atomic(const void *) fl_atomic_ptr;

/* Without the attribute GCC puts it at any multiple of 4 in a structure on i386.  Where it crosses a cache line there,
 * each access stops all processors, or ends the process. */
_Static_assert(_Alignof(struct { fl_atomic_u64 word; }) == 8, "a word never crosses a cache line");

static inline uint32_t
fl_load_relaxed_u32(fl_atomic_u32 *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline uint32_t
fl_load_acquire_u32(fl_atomic_u32 *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void
fl_store_relaxed_u32(fl_atomic_u32 *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline void
fl_store_release_u32(fl_atomic_u32 *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static inline uint32_t
fl_add_relaxed_u32(fl_atomic_u32 *word, uint32_t value)
{
    return atomic_fetch_add_explicit(word, value, memory_order_relaxed);
}

static inline uint32_t
fl_exchange_release_u32(fl_atomic_u32 *word, uint32_t value)
{
    return atomic_exchange_explicit(word, value, memory_order_release);
}

static inline bool
fl_cas_acquire_u32(fl_atomic_u32 *word, uint32_t *expected, uint32_t desired)
{
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acquire, memory_order_acquire);
}

static inline bool
fl_cas_release_u32(fl_atomic_u32 *word, uint32_t *expected, uint32_t desired)
{
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_release, memory_order_relaxed);
}

static inline bool
fl_cas_relaxed_u32(fl_atomic_u32 *word, uint32_t *expected, uint32_t desired)
{
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_relaxed, memory_order_relaxed);
}

static inline uint64_t
fl_load_relaxed_u64(fl_atomic_u64 *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline uint64_t
fl_load_acquire_u64(fl_atomic_u64 *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static inline void
fl_store_relaxed_u64(fl_atomic_u64 *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline void
fl_store_release_u64(fl_atomic_u64 *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static inline uint64_t
fl_add_relaxed_u64(fl_atomic_u64 *word, uint64_t value)
{
    return atomic_fetch_add_explicit(word, value, memory_order_relaxed);
}

static inline bool
fl_cas_acquire_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)
{
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acquire, memory_order_acquire);
}

static inline bool
fl_cas_release_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)
{
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_release, memory_order_relaxed);
}

static inline bool
fl_cas_relaxed_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)
{
    return atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_relaxed, memory_order_relaxed);
}

static inline const void *
fl_load_relaxed_ptr(fl_atomic_ptr *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void
fl_store_relaxed_ptr(fl_atomic_ptr *word, const void *value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

#endif
