/* Signals whose handler dumps (core/dump.h).
 *
 * X1  A handler runs in any thread, at any time, and cannot take a mutex.  It reads one word, the settings of its
 *     signal.  They are there before the handler is installed, and stay after it has been replaced.
 * X2  Whoever registers, or unregisters, has the mutex.  A fork takes it.
 * X3  Handlers, and so settings, come along in a fork.  They are the process's, and not an interpreter's. */

#ifndef FL_DUMP_SIGNAL_H
#define FL_DUMP_SIGNAL_H

#include <stdbool.h>

/* Whether a signal has that number. */
bool fl_dump_is_signal(int signum);

/* Makes the signal dump to the file descriptor; in the place of what it did, or before that, where `chains`.  Where the
 * signal is registered already it only changes `fd` and `chains`.  Returns 0 or an errno value.  For a number that is
 * one of a signal. */
int fl_dump_register(int signum, int fd, bool chains);

/* Takes that back.  Returns whether the signal was registered. */
bool fl_dump_unregister(int signum);

/* The same, only where the signal dumps to that file descriptor, which is about to be closed. */
void fl_dump_unregister_from(int signum, int fd);

/* For core/fork.c.  The first takes the mutex, the other releases it, in the parent and in the child. */
void fl_dump_signal_before_fork(void);
void fl_dump_signal_after_fork(void);

#endif
