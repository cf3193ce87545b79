#include "core/lot/spin.h"

#include <stdlib.h>
#include <string.h>

#include "core/thread.h"
#include "platform/clock.h"
#include "platform/compiler.h"
#include "platform/cpu.h"

/* How often the loop looks whether it is over between two looks at the clock: some 0.2 us. */
enum { LOOKS = 8 };

static fl_atomic_u32 enabled = 1;
static fl_atomic_u32 exclusive;          /* the runtime has one lock */
static fl_atomic_u32 spinners;           /* threads that spin now: exact */
static FL_THREAD_LOCAL bool is_spinning; /* the calling thread is one of them */

/* How many processors the calling thread may run on; 0 where it has not asked yet.  Each thread has its own number,
 * because a thread can be bound to a processor. */
static FL_THREAD_LOCAL uint32_t own_processors;

void
fl_spin_enable(bool on)
{
    fl_store_relaxed_u32(&enabled, on);
}

void
fl_spin_init(void)
{
    const char *wish = getenv("PYFASTLOCK_SPIN");
    fl_spin_enable(wish == NULL || strcmp(wish, "0") != 0);
}

/* ---- how many may spin ---- */

static void
count_processors(void)
{
    own_processors = fl_cpu_count();
}

/* Whether the calling thread has one processor only.  Such a thread never spins, so it would not notice that it has got
 * another processor: it asks again now and then. */
static bool
has_one_processor(void)
{
    enum { ASKED_BETWEEN = 64 };
    static FL_THREAD_LOCAL uint32_t asked;
    if (own_processors <= 1 && asked++ % ASKED_BETWEEN == 0) {
        count_processors();
    }
    return own_processors <= 1;
}

bool
fl_spin_is_possible(void)
{
    return fl_load_relaxed_u32(&enabled) && !has_one_processor();
}

bool
fl_spin_fits(uint64_t threads)
{
    return fl_spin_is_possible() && threads <= own_processors;
}

/* Counts the calling thread as a spinner.  False where it may not be one. */
static bool
begin_spinning(void)
{
    if (!fl_spin_is_possible()) {
        return false;
    }
    uint32_t count = fl_load_relaxed_u32(&spinners);
    while (count < own_processors) {
        if (fl_cas_relaxed_u32(&spinners, &count, count + 1)) {
            is_spinning = true;
            return true;
        }
    }
    return false;
}

static void
end_spinning(void)
{
    is_spinning = false;
    (void)fl_add_relaxed_u32(&spinners, UINT32_MAX); /* -1 */
}

uint32_t
fl_spin_count(void)
{
    return fl_load_relaxed_u32(&spinners);
}

/* ---- the loop ---- */

typedef struct {
    bool (*is_over)(void *ctx);
    void *ctx;
    int64_t relax_ns, yield_ns;
} spin_plan;

typedef enum {
    SPIN_IS_OVER,
    SPIN_IN_VAIN,
    SPIN_DISPLACED, /* others took the processor for long; what it waits for may have come, too */
} spin_result;

/* The two phases. */
static inline spin_result
spin(spin_plan plan)
{
    int64_t now_ns = fl_clock_now_ns();
    int64_t relax_end_ns = now_ns + plan.relax_ns;
    int64_t end_ns = relax_end_ns + plan.yield_ns;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (plan.is_over(plan.ctx)) {
                return SPIN_IS_OVER;
            }
            fl_cpu_relax();
        }
        now_ns = fl_clock_now_ns();
    } while (now_ns < relax_end_ns);
    while (now_ns < end_ns) {
        int64_t before_ns = now_ns;
        fl_cpu_yield();
        now_ns = fl_clock_now_ns();
        if (now_ns - before_ns > FL_SPIN_DISPLACED_NS) {
            return SPIN_DISPLACED;
        }
        if (plan.is_over(plan.ctx)) {
            return SPIN_IS_OVER;
        }
    }
    return SPIN_IN_VAIN;
}

/* ---- what it has taught ---- */

static inline uint32_t
failures_of(uint32_t history)
{
    return history & ((1u << FL_SPIN_FAILURES_BITS) - 1);
}

bool
fl_spin_is_due(fl_spin_history *history)
{
    uint32_t word = fl_load_relaxed_u32(history);
    if (word >> FL_SPIN_FAILURES_BITS == 0) {
        return true;
    }
    fl_store_relaxed_u32(history, word - (1u << FL_SPIN_FAILURES_BITS));
    return false;
}

static void
learn(fl_spin_history *history, spin_result result)
{
    static const uint32_t charges[] = {[SPIN_IN_VAIN] = 1, [SPIN_DISPLACED] = FL_SPIN_FAILURES_ALLOWED};
    uint32_t failures = failures_of(fl_load_relaxed_u32(history));
    uint32_t skips = 0;
    if (result == SPIN_IS_OVER) {
        failures = failures / 2;
    }
    else {
        failures += charges[result];
        failures = failures < FL_SPIN_FAILURES_MAX ? failures : FL_SPIN_FAILURES_MAX;
        if (failures >= FL_SPIN_FAILURES_ALLOWED) {
            skips = 1u << (failures - FL_SPIN_FAILURES_ALLOWED);
        }
        count_processors(); /* what follows is a sleep, which costs more */
    }
    fl_store_relaxed_u32(history, failures | skips << FL_SPIN_FAILURES_BITS);
}

void
fl_spin_learn(fl_spin_history *history, bool has_paid)
{
    learn(history, has_paid ? SPIN_IS_OVER : SPIN_IN_VAIN);
}

/* Spins as planned, if that is possible. */
static inline void
spin_and_learn(fl_spin_history *history, spin_plan plan)
{
    if (begin_spinning()) {
        learn(history, spin(plan));
        end_spinning();
    }
}

bool
fl_spin_is_near(int64_t deadline_ns, int64_t ns)
{
    return deadline_ns != FL_DEADLINE_NEVER && deadline_ns - fl_clock_now_ns() < ns;
}

/* ---- for a while ---- */

static bool
never(void *ctx)
{
    (void)ctx;
    return false;
}

bool
fl_spin_for_ns(int64_t ns)
{
    if (!begin_spinning()) {
        return false;
    }
    (void)spin((spin_plan){never, NULL, ns, 0});
    end_spinning();
    return true;
}

/* ---- for a wake-up ---- */

static bool
is_woken(void *parker)
{
    return fl_parker_is_woken(parker);
}

void
fl_spin_for_wake(fl_parker *parker, fl_spin_history *history, int64_t deadline_ns)
{
    /* The cheapest questions come first: one for the deadline reads the clock. */
    if (fl_parker_is_woken(parker) || !fl_spin_is_due(history)) {
        return;
    }
    if (!fl_spin_is_near(deadline_ns, FL_SPIN_RELAX_NS + FL_SPIN_YIELD_NS)) {
        spin_and_learn(history, (spin_plan){is_woken, parker, FL_SPIN_RELAX_NS, FL_SPIN_YIELD_NS});
    }
}

/* ---- for the runtime ---- */

/* The threads that have woken somebody and still have the GIL: their serials, each in the place that it leads to.
 * Where two share a place, a woken thread waits too long or not at all, which costs only time. */
enum { PLACES = 64 };
static fl_atomic_u64 holders[PLACES];
static fl_spin_history histories[PLACES]; /* of the waits for the holders of a place */

static inline size_t
place_of(uint64_t serial)
{
    return (size_t)(serial / FL_THREAD_SERIAL_STEP % PLACES); /* U2 */
}

void
fl_spin_set_exclusive_runtime(void)
{
    fl_store_relaxed_u32(&exclusive, 1);
}

bool
fl_spin_has_exclusive_runtime(void)
{
    return fl_load_relaxed_u32(&exclusive);
}

void
fl_spin_runtime_held(void)
{
    uint64_t self = fl_thread_self(); /* 0 where there was no memory for its record */
    if (fl_load_relaxed_u32(&exclusive) && self != 0) {
        fl_store_relaxed_u64(&holders[place_of(self)], self);
    }
}

void
fl_spin_runtime_left(void)
{
    uint64_t self = fl_thread_self();
    if (fl_load_relaxed_u32(&exclusive) && fl_load_relaxed_u64(&holders[place_of(self)]) == self) {
        fl_store_relaxed_u64(&holders[place_of(self)], 0);
    }
}

void
fl_spin_after_fork_in_child(void)
{
    fl_store_relaxed_u32(&spinners, is_spinning); /* true where a handler of the system forked out of a spin */
    for (int i = 0; i < PLACES; i++) {
        fl_store_relaxed_u64(&holders[i], 0);
    }
}

typedef struct {
    fl_atomic_u64 *holder;
    uint64_t serial;
} following;

static bool
has_left(void *arg)
{
    following *ctx = arg;
    return fl_load_relaxed_u64(ctx->holder) != ctx->serial;
}

void
fl_spin_for_runtime(uint64_t serial)
{
    if (!fl_load_relaxed_u32(&exclusive) || serial == 0) {
        return;
    }
    size_t place = place_of(serial);
    following ctx = {&holders[place], serial};
    if (!has_left(&ctx) && fl_spin_is_due(&histories[place])) {
        spin_and_learn(&histories[place], (spin_plan){has_left, &ctx, FL_SPIN_RUNTIME_NS, FL_SPIN_RUNTIME_NS});
    }
}
