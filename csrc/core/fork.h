/* fork(), for the whole core.
 *
 * The handlers hold every mutex of the core while the process is copied: the child finds the queues and the registry in
 * one piece, and mutexes that its only thread owns and can unlock.  A primitive has no pthread object of its own, so
 * there is nothing else to repair: a lock whose owner did not survive the fork is re-initialised by storing 0. */

#ifndef FL_FORK_H
#define FL_FORK_H

/* Sets the core up and installs the handlers, once for the process.  Any thread, any number of times.  Returns 0 or the
 * errno value of what failed. */
int fl_core_init(void);

#endif
