/* Faults of the system: calls of the core that fail because a test wants it.
 *
 * The programs test_faults*.c are linked with a core that was compiled with faulty_calls.h, in which each call of the
 * system that can fail goes through a function of faults.c.  That counts the calls of the thread that has planned
 * faults, and of no other thread: so the N-th call is the same one in every run.
 *
 * There are three kinds of calls.
 *   SCARCE   may fail for a lack of resources: the operation says so, and nothing has happened
 *   EARLY    may end early or in vain without a failure: a signal, a spurious wake-up, a mutex that is taken
 *   FATAL    cannot fail in a correct program: the process ends with a message that names the call */

#ifndef FL_TESTS_FAULTS_H
#define FL_TESTS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { FAULTS_SCARCE, FAULTS_EARLY, FAULTS_FATAL, FAULTS_KINDS } faults_kind;

/* From now on the calling thread's calls of that kind are counted from 1.  Those from `first` to `last` fail; none
 * where `first` is 0. */
void faults_plan(faults_kind kind, int first, int last);

/* From now on nothing fails.  Returns how many calls of the planned kind there were. */
int faults_forget(void);

/* At the next EARLY failure of the calling thread `act(ctx)` runs, as if another thread ran just then. */
void faults_when_early(void (*act)(void *ctx), void *ctx);

/* While the calling thread plays another one: its calls are not counted, and do not fail. */
void faults_pause(void);
void faults_resume(void);

/* How many calls have failed since the last plan. */
int faults_failed(void);

/* The name of the last call that has failed, as a message has it. */
const char *faults_last(void);

/* What the core holds of the system now, of all threads: blocks of memory, semaphores, mutexes, condition variables. */
int64_t faults_held(void);

/* How many calls of each kind there have been in threads that planned some, since the program began. */
extern _Atomic(uint64_t) faults_injected[FAULTS_KINDS];

/* Added to what the core sees of the two clocks: the system's own cannot be set. */
void faults_shift_monotonic_ns(int64_t ns);
void faults_shift_realtime_ns(int64_t ns);

#endif
