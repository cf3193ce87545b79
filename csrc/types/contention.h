/* Recording contention: who waits for which object, how long, and where in the program.
 *
 * It is off by default.  Only calls that wait ask whether it is on, and what makes and frees objects: one relaxed load
 * of `fl_watched`.  Fast paths do not ask.
 *
 * One wait goes through these steps:
 *   1. fl_contention_begin, before the wait: notes the time and the place, and who holds the lock, where it knows.
 *      The thread has to wait anyway, so this costs others nothing.
 *   2. the wait.
 *   3. fl_contention_end: adds the wait to the object's record.  The thread may have just got a lock, so this
 *      is short: a few comparisons and additions under a mutex.  It runs no Python code.
 *
 * A recorder belongs to one interpreter's copy of the module, and lives as long as that.  There is a record for each
 * object that was made, or waited for, while its recorder was on (types/contention_records.h).  The records of all
 * interpreters are in one table.  Its parts (*shards*) have a mutex each, and an object's address says in which one its
 * record is.
 *
 * Q1  A record is found by its object's address for as long as the object lives.  fl_object_freed, which comes before
 *     the memory can be another object's, takes the record out: it keeps what was waited for it, without the address.
 * Q2  `session` changes at each start and each stop, and is odd while the recorder is on.  A wait counts if the session
 *     of its beginning is still there at its end, which is looked at under the shard's mutex.  A stop changes it before
 *     it takes any of these mutexes.  So the stop sees each wait that counts, and the next recording sees none of
 *     before.
 * Q3  Under a shard's mutex there is no call of Python that can run Python code or wait, and no other mutex but that of
 *     the names (types/names.h).  The order is: the switches' mutex, shards, names.  A fork takes all of them.
 * Q4  What a recorder has is bounded: a record for each living object, FL_FREED_SEPARATE for freed ones in each shard,
 *     and beyond that one for each kind, name and place where objects were made, FL_FREED_MOST of them at most; and
 *     FL_CALLS_MOST pairs of places in each record.  What does not fit goes to a record, or a pair, without a place.
 *
 * Q5  A stop needs no memory to stop.  Where there is none for its result, the records stay with the recorder, for the
 *     next stop; a start frees them.
 *
 * In the child of a fork the recording goes on with what it had. */

#ifndef FL_CONTENTION_H
#define FL_CONTENTION_H

#include "core/lot/waiter.h"
#include "platform/atomic.h"
#include "platform/compiler.h"
#include "py/block.h"
#include "py/compat.h"
#include "py/state.h"
#include "types/place.h"

enum {
    FL_FREED_SEPARATE = 64,
    FL_FREED_MOST = 512,
    FL_CALLS_MOST = 64,
};

/* Why objects are watched, in any interpreter. */
enum {
    FL_WATCH_NAMES = 1, /* some object has, or had, a name */
    FL_WATCH_WAITS = 2, /* a recorder is on */
};

extern fl_atomic_u32 fl_watched;

/* A wait that is perhaps recorded.  It lies on the stack of the thread that waits. */
typedef struct {
    fl_recorder *recorder; /* NULL: it is not recorded, and the rest means nothing */
    uint64_t session;
    PyObject *object; /* borrowed: the caller has a reference */
    const char *kind; /* the name of its type, in this module */
    fl_place call, holder;
    int64_t begin_ns;
} fl_contention_wait;

/* Does what fl_contention_begin does, where some recorder is on. */
void fl_contention_begin_slow(fl_contention_wait *wait, PyObject *object, fl_wait_kind kind);

/* Adds a wait that has a recorder to the records. */
void fl_contention_end_slow(fl_contention_wait *wait, int64_t end_ns);

/* Drops the references of a wait that has a recorder. */
void fl_contention_drop(fl_contention_wait *wait);

/* Begins a wait for the object, which is of that kind.  Every one is ended.  Runs no Python code, sets no exception. */
static inline void
fl_contention_begin(fl_contention_wait *wait, PyObject *object, fl_wait_kind kind)
{
    wait->recorder = NULL;
    if (FL_UNLIKELY(fl_load_relaxed_u32(&fl_watched) & FL_WATCH_WAITS)) {
        fl_contention_begin_slow(wait, object, kind);
    }
}

/* Ends a wait, and records it if the thread has `blocked`: it has detached since the beginning.  `end_ns` is when it
 * ended; 0: now.  The thread is attached, and an exception may be set.  Runs no Python code. */
static inline void
fl_contention_end(fl_contention_wait *wait, bool blocked, int64_t end_ns)
{
    if (FL_UNLIKELY(wait->recorder != NULL)) {
        if (blocked) {
            fl_contention_end_slow(wait, end_ns);
        }
        fl_contention_drop(wait);
    }
}

/* For waits for a lock that follow on `first`, which has been begun and not ended: the same call waits from `begin_ns`
 * on, for `object`. */
void fl_contention_follow(fl_contention_wait *wait, const fl_contention_wait *first, PyObject *object,
                          fl_wait_kind kind, int64_t begin_ns);

/* Do what the functions below do, where objects are watched. */
void fl_object_made_slow(PyObject *self);
void fl_object_freed_slow(PyObject *self);

/* Called when an object of ours has been made.  Runs no Python code; sets no exception, and none is set. */
static inline void
fl_object_made(PyObject *self)
{
    if (FL_UNLIKELY(fl_load_relaxed_u32(&fl_watched) != 0)) {
        fl_object_made_slow(self);
    }
}

/* Called when an object of ours is about to be freed (Q1).  Runs no Python code; an exception may be set. */
static inline void
fl_object_freed(PyObject *self)
{
    if (FL_UNLIKELY(fl_load_relaxed_u32(&fl_watched) != 0)) {
        fl_object_freed_slow(self);
    }
}

/* Gives an object of ours its name, a str or None.  Returns 0, or -1 with an exception. */
int fl_object_set_name(PyObject *self, PyObject *name);

/* Returns the object's name, a new reference to a str, or None; NULL with an exception.  Runs no Python code. */
PyObject *fl_object_name(PyObject *self);

/* Makes the state's recorder, and frees it.  The first returns 0, or -1 with an exception. */
int fl_contention_init(fl_state *state);
void fl_contention_fini(fl_state *state);

/* Starts the recorder; 0, or -1 with RuntimeError where it is on. */
int fl_contention_start(fl_state *state);

/* Return what was recorded; the second one stops the recorder.  NULL with an exception: RuntimeError where it is off.
 * The result is a pair: a list with a tuple for each record, and how many waits and objects were not recorded for lack
 * of memory.  The tuple is (number, objects, kind, type, name, made, calls):
 *   number   of the record: in the order in which the objects were first seen
 *   objects  how many objects it is of; more than one where freed ones were put together (Q4)
 *   kind     the name of our type; empty where they are of all sorts (Q4)
 *   type     the name of their class
 *   name     or None
 *   made     where they were made, a place (fl_place_as_python), or None
 *   calls    a list of tuples (call, holder, waits, total, longest): two places; how many waits; their seconds in all,
 *            and of the longest
 * Waits that have not ended do not count.  Where fl_contention_stop() lacks memory the recorder is off, and the next
 * call of it returns the result (Q5). */
PyObject *fl_contention_read(fl_state *state);
PyObject *fl_contention_stop(fl_state *state);

#endif
