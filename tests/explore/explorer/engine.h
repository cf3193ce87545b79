/* The explorer's own rooms, for each other.
 *
 *   engine.c    the search: which thread goes on, and what happens to it
 *   states.c    which states were there before
 *   threads.c   the threads: one coroutine each
 *   memory.c    what a run may touch, and how its state is told from another one's
 *   races.c     happens-before: which plain accesses are not ordered
 *   accesses.c  what the compiler calls instead of its own runtime: for each access to memory
 *   system.c    what the core calls instead of the system
 *   calls.c     what a scenario calls
 *   trace.c     what is printed of a failed run
 *   main.c      the command line
 *
 * Runs.  A run begins with the memory as it was after fl_core_init(), and is a function of the choices that are made in
 * it.  A choice is a number below the number of options there.  The search keeps the choices of the current run; the
 * next run repeats them up to the last one that has another option, and takes that.  So it is a search in depth, and
 * needs no other memory.
 *
 * X1  A run is the same whenever the same choices are made: addresses, times and numbers of threads are the same.  The
 *     program is linked at a fixed address, stacks and heap lie at a fixed one, and the clock is virtual.
 * X2  All memory that the scenario and the core can write is in three places, which memory.c knows: the data of the
 *     program, the heap, and the threads' stacks with their thread-local variables.  It is restored before each run.
 * X3  What a thread does between two steps is not noticed by others.  To make that true without a step at each access, a
 *     word counts as shared only when two threads have used it, at least one of them to write it, in any run so far.
 *     When a word becomes shared the search begins anew, with a step at each use of that word.  To unlock a mutex is not
 *     a step: what others could do before it they can do after it, to the same effect.
 * X4  Two runs with the same state go on in the same way.  The state is all memory of X2, the registers, which lie on
 *     the stacks, the clock, and what is left of the limits.  A run that comes to a state that was there before ends.
 *     States are told apart by 64 bits; with ten million states two are taken for one with a chance of 1 in 300,000.
 * X5  Between two runs the order of plain accesses is not searched: races.c fails a run in which two of them are not
 *     ordered by what the code says (acquire, release, mutexes), so there is one order only. */

#ifndef EX_ENGINE_H
#define EX_ENGINE_H

#include <setjmp.h>
#include <time.h>

#include "explorer.h"

/* ---- the threads ---- */

typedef enum {
    EX_OP_NONE,
    EX_OP_LOAD,
    EX_OP_STORE,
    EX_OP_CHANGE, /* exchange, addition, compare-and-swap */
    EX_OP_TRYLOCK,
    EX_OP_LOCK,
    EX_OP_UNLOCK,
    EX_OP_SLEEP, /* on a futex */
    EX_OP_AWAIT, /* a signal of a condition variable */
    EX_OP_SIGNAL,
    EX_OP_CHOOSE,
} ex_op;

typedef enum {
    EX_READY,   /* about to do `op`, which may have to wait */
    EX_ENDED,   /* its body has returned */
    EX_MISSING, /* it did not come along into the child of a fork */
} ex_status;

/* How a sleep ended. */
typedef enum { EX_DONE, EX_TIMED_OUT, EX_INTERRUPTED, EX_SPURIOUS } ex_wake;

/* EX_THREADS_MAX is the number of the one that sets the scenario up. */
enum { EX_SETTER = EX_THREADS_MAX, EX_COROUTINES, EX_TLS_MAX = 256, EX_PLACES_MAX = 64 };

typedef struct {
    void *sp; /* where its registers lie while it does not run */
    ex_status status;
    ex_op op;
    const void *object;  /* of op */
    int64_t deadline_ns; /* of EX_OP_SLEEP and EX_OP_AWAIT; INT64_MAX: none */
    bool signalled;      /* of EX_OP_SLEEP and EX_OP_AWAIT: the wake-up has come */
    ex_wake wake;
    int options; /* of EX_OP_CHOOSE */
    int chosen;
    void *specific; /* pthread_getspecific() */
    unsigned char tls[EX_TLS_MAX];
} ex_thread;

typedef struct {
    const ex_scenario *scenario;
    ex_limits limits;
    bool gil;
    int threads; /* how many the scenario has */
    int current; /* who runs, or ran last; -1: none yet */
    bool in_thread;
    ex_thread thread[EX_COROUTINES];
    ex_limits used;
    int64_t now_ns, tick_ns;
    const void *places[EX_PLACES_MAX]; /* the parkers that have been set up */
    int place_count;
    int blocks;          /* of the heap, not freed */
    const char *failure; /* of this run, or NULL */
    void (*destroy_specific)(void *);
    void (*fork_before)(void), (*fork_in_parent)(void), (*fork_in_child)(void);
    bool tracing;
    bool restarts; /* X3: a word has become shared in this run */
    uint64_t run;  /* their number, from 1 */
} ex_state;

extern ex_state ex;

/* ---- engine.c ---- */

/* What one search has found. */
typedef struct {
    uint64_t runs, steps, restarts;
    int deepest;
    bool complete; /* nothing was left out */
} ex_figures;

/* Searches; returns whether no run failed. */
bool ex_search(uint64_t most_runs, bool use_states, ex_figures *figures);

/* Makes one run with these choices, a string as ex_print_choices makes it.  Returns whether it did not fail. */
bool ex_repeat(const char *choices);

/* Prints the choices of the last run. */
void ex_print_choices(void);

/* ---- states.c ---- */

/* Forgets all states; `kept`: whether those that follow are noted. */
void ex_states_begin(bool kept);
bool ex_states_are_kept(void);

/* Notes the state with that hash, and returns whether it is new. */
bool ex_states_add(uint64_t hash);
uint64_t ex_states_count(void);

/* ---- threads.c ---- */

void ex_threads_init(void);

/* Makes a coroutine that calls body(argument). */
void ex_thread_make(int number, void (*body)(int), int argument);

/* Lets the thread run up to its next step. */
void ex_thread_resume(int number);

/* From a thread: gives control to the engine. */
void ex_thread_yield(void);

/* Ends the calling thread. */
_Noreturn void ex_thread_end(void);

/* From anywhere: leaves the run. */
_Noreturn void ex_leave(void);

/* Whether a thread of the scenario runs, whose steps count. */
bool ex_is_running(void);

/* Gives the others their turn before the operation, if it is a step. */
void ex_step(ex_op op, const void *object, bool writes);

/* Gives the others their turn until the operation can be done, or its sleep ends otherwise. */
ex_wake ex_wait(ex_op op, const void *object, int64_t deadline_ns);

/* The stack of each thread. */
enum { EX_STACK_SIZE = 32 * 1024 };
#define EX_STACKS ((unsigned char *)0x200000000000)

static inline unsigned char *
ex_stack_begin(int number)
{
    return EX_STACKS + (size_t)number * EX_STACK_SIZE;
}

static inline unsigned char *
ex_stack_end(int number)
{
    return ex_stack_begin(number + 1);
}

/* ---- memory.c ---- */

void ex_memory_init(void);

/* Memory of the explorer's own, zeroed.  Its large tables are not variables, which would lie among the program's data. */
void *ex_reserve(size_t size);

void ex_memory_restore(void);

/* To be called before the memory is written, and before it is read, by a thread. */
void ex_memory_used(const void *address, size_t size, bool writes, const void *pc);

/* The same without looking for races: for words and for what the system's objects hold. */
void ex_memory_changes(const void *address, size_t size);

void *ex_heap_allocate(size_t size);
void ex_heap_free(void *block);

/* Nobody may touch the memory any more, or may again. */
void ex_memory_poison(const void *address, size_t size, bool poisoned);

/* A number for the state (X4). */
uint64_t ex_memory_hash(void);

/* X3.  Notes that the thread uses the object, and returns whether that is a step. */
bool ex_is_step(const void *object, bool writes);
void ex_shared_forget(void);

/* ---- races.c ---- */

void ex_races_init(size_t cells);
void ex_races_begin(void);
void ex_race_plain(size_t cell, int thread, bool writes, const void *address);

/* The ordering of an atomic operation, or of a mutex. */
void ex_order_acquire(const void *object);
void ex_order_release(const void *object, bool keeps); /* `keeps`: what was released there before stays */
void ex_order_forget(const void *object);              /* a relaxed store */

/* What all threads did so far happens before what the calling one does from now on: the others are not in the child. */
void ex_order_after_all(void);

/* What the calling thread did so far happens before the thread begins. */
void ex_order_start(int thread);

/* ---- system.c ---- */

/* Whether the thread could go on. */
bool ex_can_go_on(const ex_thread *thread);

/* ---- trace.c ---- */

void ex_trace(const void *pc, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ex_trace_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ex_trace_print(void);

#endif
