/* Changes of words by attached threads (core/blocker.h).
 *
 * Where the runtime has one lock, at most one thread is attached at a time.  If besides only attached threads change a
 * word, the one that looks at it and then changes it needs no atomic compare-and-swap: nobody comes in between.  A
 * compare-and-swap takes up to 5 ns, of which an uncontended acquire() and release() would need two.
 *
 * Each primitive says which states of its word this is true of: W6 in core/lock_word.h, S7 in core/sema.h, E6 in
 * core/event.h.  Python objects are used in one interpreter only, so an interpreter with a GIL of its own is a runtime
 * with one lock, too.
 *
 * The build says whether the runtime has one lock: FL_RUNTIME_LOCK.  Where it has none these are compare-and-swaps. */

#ifndef FL_ATTACHED_H
#define FL_ATTACHED_H

#include <assert.h>
#include <stddef.h>

#include "platform/atomic.h"

#ifndef FL_RUNTIME_LOCK
#define FL_RUNTIME_LOCK 0
#endif

/* For assertions: whether the calling thread is attached.  NULL where nobody has told.  Written before any thread
 * waits. */
extern bool (*fl_attached_check)(void);

/* Fails where the calling thread is known not to be attached; in developers' builds only. */
static inline void
fl_assert_attached(void)
{
    assert(fl_attached_check == NULL || fl_attached_check());
}

/* Stores `desired` and returns true where the word is `expected`; returns false otherwise.  The calling thread is
 * attached, and only attached threads change the word while it is `expected`.  Acquires; does not block. */
static inline bool
fl_attached_swap_acquire_u64(fl_atomic_u64 *word, uint64_t expected, uint64_t desired)
{
    fl_assert_attached();
#if FL_RUNTIME_LOCK
    if (fl_load_acquire_u64(word) != expected) {
        return false;
    }
    fl_store_relaxed_u64(word, desired);
    return true;
#else
    return fl_cas_acquire_u64(word, &expected, desired);
#endif
}

/* The same; releases. */
static inline bool
fl_attached_swap_release_u64(fl_atomic_u64 *word, uint64_t expected, uint64_t desired)
{
    fl_assert_attached();
#if FL_RUNTIME_LOCK
    if (fl_load_relaxed_u64(word) != expected) {
        return false;
    }
    fl_store_release_u64(word, desired);
    return true;
#else
    return fl_cas_release_u64(word, &expected, desired);
#endif
}

/* Stores `desired` where the word is still `seen`, which the calling thread has just loaded; returns whether it did.
 * Where the runtime has one lock the word is not looked at again: the thread has been attached since.  That lock orders
 * the threads then.  Acquires. */
static inline bool
fl_attached_swap_seen_acquire_u64(fl_atomic_u64 *word, uint64_t seen, uint64_t desired)
{
    fl_assert_attached();
#if FL_RUNTIME_LOCK
    (void)seen;
    fl_store_relaxed_u64(word, desired);
    return true;
#else
    return fl_cas_acquire_u64(word, &seen, desired);
#endif
}

/* The same; releases. */
static inline bool
fl_attached_swap_seen_release_u64(fl_atomic_u64 *word, uint64_t seen, uint64_t desired)
{
    fl_assert_attached();
#if FL_RUNTIME_LOCK
    (void)seen;
    fl_store_release_u64(word, desired);
    return true;
#else
    return fl_cas_release_u64(word, &seen, desired);
#endif
}

/* Stores `desired` and returns true where the word is `expected`, as above; acquires. */
static inline bool
fl_attached_swap_acquire_u32(fl_atomic_u32 *word, uint32_t expected, uint32_t desired)
{
    fl_assert_attached();
#if FL_RUNTIME_LOCK
    if (fl_load_acquire_u32(word) != expected) {
        return false;
    }
    fl_store_relaxed_u32(word, desired);
    return true;
#else
    return fl_cas_acquire_u32(word, &expected, desired);
#endif
}

/* The same; releases. */
static inline bool
fl_attached_swap_release_u32(fl_atomic_u32 *word, uint32_t expected, uint32_t desired)
{
    fl_assert_attached();
#if FL_RUNTIME_LOCK
    if (fl_load_relaxed_u32(word) != expected) {
        return false;
    }
    fl_store_release_u32(word, desired);
    return true;
#else
    return fl_cas_release_u32(word, &expected, desired);
#endif
}

#endif
