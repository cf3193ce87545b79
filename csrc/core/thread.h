/* Who the calling thread is.
 *
 * The identity of a thread is a serial number that is never used again in the life of the process.  A pthread_t will
 * not do: it is reused as soon as its thread has ended, and a lock that a dead thread had held would then be taken for
 * its successor's own.  A serial also survives fork(): the one thread that lives on in the child keeps its own, and
 * nobody else's can come back.
 *
 * T1  0 is no thread.
 * T2  Serials are multiples of FL_THREAD_SERIAL_STEP: lock words keep flags in the low bits.  At a million threads a second the
 *     others last for nine years.
 * T3  A thread has one record, from the first time that it needs a serial until it ends.  The list of records is under
 *     the registry's mutex; a record is otherwise read and written by its own thread only.
 * T4  In the child of a fork every serial that was given before belongs to a thread that is not there, but for the one
 *     that has forked. */

#ifndef FL_THREAD_H
#define FL_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/compiler.h"

#define FL_THREAD_SERIAL_STEP (UINT64_C(1) << 16)

/* The calling thread's serial, or 0 where it has not needed one yet. */
extern FL_THREAD_LOCAL uint64_t fl_thread_serial;

static inline uint64_t
fl_thread_self(void)
{
    return fl_thread_serial;
}

/* Gives the calling thread a serial where it has none.  Returns it, or 0 where the memory for the record is lacking. */
uint64_t fl_thread_register_slow(void);

static inline uint64_t
fl_thread_register(void)
{
    return FL_LIKELY(fl_thread_serial != 0) ? fl_thread_serial : fl_thread_register_slow();
}

/* The pthread_self() of the living thread with that serial, as an integer; 0 where it has ended.  It takes the registry's
 * mutex, and as many steps as there are threads. */
uint64_t fl_thread_ident(uint64_t serial);

/* Whether the thread with that serial, which is not 0, was left behind by a fork (T4).  No mutex, and one step. */
bool fl_thread_is_left_behind(uint64_t serial);

/* The main thread, in the runtime's sense: the one that runs signal handlers.  It is told to the core by its
 * pthread_self() as an integer; in a forked child it is the thread that forked. */
void fl_thread_set_main(uint64_t ident);
bool fl_thread_is_main(void);

/* Called once, before anything else here.  Returns 0 or an errno value. */
int fl_thread_init(void);

/* For core/fork.c.  In the child every record but the calling thread's own is forgotten. */
void fl_thread_before_fork(void);
void fl_thread_after_fork_in_parent(void);
void fl_thread_after_fork_in_child(void);

#endif
