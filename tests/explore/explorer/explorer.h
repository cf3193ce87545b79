/* What a scenario sees of the explorer.
 *
 * A scenario is a small program of a few threads over the real code of the core.  The explorer runs it again and again,
 * each time in another order of the threads' steps, until it has seen every order within the scenario's limits.
 *
 * A step ends where a thread is about to do what another one can notice: an operation on an atomic word, on a mutex, a
 * semaphore or a condition variable.  In between a thread runs alone.  A call of ex_choose is a step, too.
 *
 * All functions here are for the threads of a scenario, unless they say otherwise. */

#ifndef EX_EXPLORER_H
#define EX_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EX_THREADS_MAX = 4 };

/* How far a scenario is explored: how often, in one run at most, the explorer lets each of these happen. */
typedef struct {
    int preemptions; /* another thread goes on although this one could; EX_UNLIMITED: whenever there is a choice */
    int timeouts;    /* the deadline of a sleeping thread passes */
    int interrupts;  /* a signal ends the system call in which a thread sleeps */
    int spurious;    /* a sleep ends although nobody has woken the thread */
    int lapses;      /* a look at the clock finds that time has passed: as much as one of the core's limits */
    int failures;    /* malloc() returns NULL, or a parker cannot be set up */
} ex_limits;

enum { EX_UNLIMITED = 1 << 20 };

typedef struct ex_scenario ex_scenario;

struct ex_scenario {
    const char *name;
    const char *what;         /* what it tries, in a line */
    int threads;              /* how many run, 1 to EX_THREADS_MAX */
    void (*set_up)(void);     /* runs alone before the threads begin */
    void (*run)(int thread);  /* the body of each thread, numbered from 0 */
    void (*late)(int thread); /* or NULL.  Runs when the thread ends, after the destructors of the core */
    void (*check)(void);      /* or NULL.  What holds before every step.  It only looks, and runs outside any thread */
    void (*at_rest)(void);    /* or NULL.  What holds when all threads are asleep or have ended.  As `check` */
    void (*at_end)(void);     /* or NULL.  What holds when all have ended.  As `check` */
    ex_limits quick, full;    /* for the two settings */
    bool needs_gil;           /* it is explored with a runtime lock only */
    bool needs_no_gil;        /* it is explored without one only */
};

/* Defines a scenario that the explorer finds by its name. */
#define EX_SCENARIO(id)                                                                                               \
    extern const ex_scenario ex_scenario_##id;                                                                        \
    static const ex_scenario *const ex_entry_##id __attribute__((used, section("ex_scenarios"))) = &ex_scenario_##id; \
    const ex_scenario ex_scenario_##id

/* Fails the run; the explorer prints the schedule that led here.  For checks, too. */
_Noreturn void ex_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define EX_CHECK(condition) ((condition) ? (void)0 : ex_fail(__FILE__, __LINE__, "not true: %s", #condition))
#define EX_FAIL(...) ex_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Returns a number from 0 to count - 1; the explorer tries each. */
int ex_choose(int count);

/* Whether this run has a runtime lock.  For checks, too. */
bool ex_has_gil(void);

/* The number of the calling thread.  In a check, and while setting up: -1. */
int ex_self(void);

/* Whether the thread has ended.  For checks, too. */
bool ex_has_ended(int thread);

/* Whether the thread sleeps in a system call, or waits for a mutex.  For checks, too. */
bool ex_is_blocked(int thread);

/* Whether the next step of the thread uses the object: a word, a mutex or a condition variable.  For checks, too. */
bool ex_is_at(int thread, const void *object);

/* The parkers that have been set up and not been destroyed.  Returns how many they are; the first `most` are in the
 * list.  For checks, too. */
int ex_sleeping_places(const void **list, int most);

/* How many blocks of malloc() have not been freed.  For checks, too. */
int ex_blocks(void);

/* Ends the calling thread, as pthread_exit() does: whatever is on its stack is gone. */
_Noreturn void ex_exit(void);

/* While setting up: each look at the clock takes so long.  (Without it time passes by `lapses` and time-outs only, and
 * a loop that waits for the time does not end.) */
void ex_set_tick(int64_t ns);

/* In the forked child: forgets the other threads, as fork() does.  They never run again. */
void ex_forget_others(void);

/* Starts a new thread, with the number of one that has ended or did not come along into the child, and on its stack. */
void ex_start(int thread, void (*body)(int thread));

/* Calls the handlers that the core has given to pthread_atfork(), and in between ex_forget_others() where the calling
 * thread is to become the child's.  Returns whether it is in the child: the explorer tries both. */
bool ex_fork(void);

/* The virtual clock in nanoseconds.  For checks, too. */
int64_t ex_now_ns(void);

/* How many limits of `lapses` this run has used up.  For checks, too. */
int ex_lapses(void);

#endif
