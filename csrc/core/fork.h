/* fork(), for the whole core.
 *
 * The thread that forks holds every mutex of the core while the system copies the process.  So the child finds the
 * queues and the registry whole, and mutexes that its only thread owns and can unlock.  A primitive has no pthread
 * object of its own, so nothing else has to be repaired: a lock whose owner is not in the child is re-initialised by
 * storing 0. */

#ifndef FL_FORK_H
#define FL_FORK_H

/* Sets the core up and installs the handlers, once for the process.  Any thread, any number of times.  Returns 0 or the
 * errno value of what failed, which the next call tries again. */
int fl_core_init(void);

#endif
