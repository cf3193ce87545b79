/* Who the calling thread is.
 *
 * A thread is known by a serial number that is never used again in the life of the process.  A pthread_t will not do:
 * the system reuses it as soon as its thread has ended, and a lock that a dead thread holds would then seem to be held
 * by the new one.  A serial also survives fork(): the one thread that lives on in the child keeps its own, and no new
 * thread gets the serial of one that is not there.
 *
 * U1  0 is no thread.
 * U2  Serials are multiples of FL_THREAD_SERIAL_STEP, because lock words keep flags in the low bits.  The other bits
 *     last for nine years at a million new threads a second.
 * U3  A thread has one record, from the first time that it needs a serial until it ends.  The list of records is
 *     guarded by the registry's mutex.  Apart from its links, a record is written by its own thread only.
 * U4  In the child of a fork every serial that was given before the fork belongs to a thread that is not there, except
 *     the serial of the thread that forked. */

#ifndef FL_THREAD_H
#define FL_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/compiler.h"

#define FL_THREAD_SERIAL_STEP (UINT64_C(1) << 16)

/* The calling thread's serial, or 0 where it has not needed one yet.  Read it through fl_thread_self. */
extern FL_THREAD_LOCAL uint64_t fl_thread_serial;

/* Returns the calling thread's serial, or 0 where it has none yet (U1). */
static inline uint64_t
fl_thread_self(void)
{
    return fl_thread_serial;
}

/* Gives a serial to the calling thread, which has none.  Returns it, or 0 where there is no memory for the record.
 * Takes the registry's mutex. */
uint64_t fl_thread_register_slow(void);

/* Returns the calling thread's serial.  Gives it one where it has none, as fl_thread_register_slow does. */
static inline uint64_t
fl_thread_register(void)
{
    return FL_LIKELY(fl_thread_serial != 0) ? fl_thread_serial : fl_thread_register_slow();
}

/* Returns the pthread_self() of the living thread with that serial, as an integer; 0 where it has ended.  Takes the
 * registry's mutex, and as many steps as there are threads. */
uint64_t fl_thread_ident(uint64_t serial);

/* Whether the thread with that serial, which is not 0, was left behind by a fork (U4).  Takes no mutex, and one
 * step. */
bool fl_thread_is_left_behind(uint64_t serial);

/* Tells the core which thread is the main one in the runtime's sense, the one that runs signal handlers: by its
 * pthread_self() as an integer.  In a forked child the thread that forked is the main one from then on. */
void fl_thread_set_main(uint64_t ident);

/* Whether the calling thread is the main one; false where nobody has told. */
bool fl_thread_is_main(void);

/* Sets the registry up.  Called before anything else here, by one thread at a time; again where that or a later step of
 * the setting up has failed.  Returns 0 or an errno value. */
int fl_thread_init(void);

/* For core/fork.c.  The first takes the registry's mutex, the others release it.  In the child every record but the
 * calling thread's own is forgotten. */
void fl_thread_before_fork(void);
void fl_thread_after_fork_in_parent(void);
void fl_thread_after_fork_in_child(void);

#endif
