#include "core/spin.h"

#include <stdlib.h>
#include <string.h>

#include "core/thread.h"
#include "platform/clock.h"
#include "platform/cpu.h"

/* Looks at the word between two looks at the clock: some 0.2 us. */
enum { LOOKS = 8 };

static fl_atomic_u32 enabled = 1;
static fl_atomic_u32 processors;
static fl_atomic_u32 spinners; /* threads that spin now */

void
fl_spin_enable(bool on)
{
    fl_store_relaxed_u32(&enabled, on);
}

/* ---- how many may spin ---- */

static void
count_processors(void)
{
    fl_store_relaxed_u32(&processors, fl_cpu_count());
}

void
fl_spin_init(void)
{
    const char *wish = getenv("PYFASTLOCK_SPIN");
    fl_spin_enable(wish == NULL || strcmp(wish, "0") != 0);
    count_processors();
}

/* Where there is one processor nobody spins, and so nobody would notice another one: look now and then. */
static bool
has_one_processor(void)
{
    static fl_atomic_u32 asked;
    enum { ASKED_BETWEEN = 64 };
    if (fl_load_relaxed_u32(&processors) > 1) {
        return false;
    }
    if (fl_add_relaxed_u32(&asked, 1) % ASKED_BETWEEN == 0) {
        count_processors();
    }
    return fl_load_relaxed_u32(&processors) <= 1;
}

static bool
begin_spinning(void)
{
    if (!fl_load_relaxed_u32(&enabled) || has_one_processor()) {
        return false;
    }
    uint32_t count = fl_load_relaxed_u32(&spinners);
    while (count < fl_load_relaxed_u32(&processors)) {
        if (fl_cas_relaxed_u32(&spinners, &count, count + 1)) {
            return true;
        }
    }
    return false;
}

static void
end_spinning(void)
{
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

static inline bool
spin(spin_plan plan)
{
    int64_t now_ns = fl_clock_now_ns();
    int64_t relax_end_ns = now_ns + plan.relax_ns;
    int64_t end_ns = relax_end_ns + plan.yield_ns;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (plan.is_over(plan.ctx)) {
                return true;
            }
            fl_cpu_relax();
        }
        now_ns = fl_clock_now_ns();
    } while (now_ns < relax_end_ns);
    while (now_ns < end_ns) {
        fl_cpu_yield();
        if (plan.is_over(plan.ctx)) {
            return true;
        }
        now_ns = fl_clock_now_ns();
    }
    return false;
}

/* ---- for a wake-up ---- */

static inline uint32_t
failures_of(uint32_t history)
{
    return history & ((1u << FL_SPIN_FAILURES_BITS) - 1);
}

/* Whether this wait is one to spin for. */
static bool
is_due(fl_spin_history *history)
{
    uint32_t word = fl_load_relaxed_u32(history);
    if (word >> FL_SPIN_FAILURES_BITS == 0) {
        return true;
    }
    fl_store_relaxed_u32(history, word - (1u << FL_SPIN_FAILURES_BITS));
    return false;
}

static void
learn(fl_spin_history *history, bool succeeded)
{
    uint32_t failures = failures_of(fl_load_relaxed_u32(history));
    uint32_t skips = 0;
    if (succeeded) {
        failures = failures / 2;
    }
    else {
        failures = failures < FL_SPIN_FAILURES_MAX ? failures + 1 : FL_SPIN_FAILURES_MAX;
        if (failures >= FL_SPIN_FAILURES_ALLOWED) {
            skips = 1u << (failures - FL_SPIN_FAILURES_ALLOWED);
        }
        count_processors(); /* it sleeps now anyway, which costs more */
    }
    fl_store_relaxed_u32(history, failures | skips << FL_SPIN_FAILURES_BITS);
}

static bool
is_woken(void *parker)
{
    return fl_parker_is_woken(parker);
}

void
fl_spin_for_wake(fl_parker *parker, fl_spin_history *history, int64_t deadline_ns)
{
    if (fl_parker_is_woken(parker) || !is_due(history)) {
        return;
    }
    if (deadline_ns != FL_DEADLINE_NEVER && deadline_ns - fl_clock_now_ns() < FL_SPIN_RELAX_NS + FL_SPIN_YIELD_NS) {
        return;
    }
    if (begin_spinning()) {
        spin_plan plan = {is_woken, parker, FL_SPIN_RELAX_NS, FL_SPIN_YIELD_NS};
        learn(history, spin(plan));
        end_spinning();
    }
}

/* ---- for the runtime ---- */

/* The serials of threads that have woken somebody and hold their runtime still, each in the place that its serial leads
 * to.  Two that share a place make each other's followers wait too long or not at all. */
enum { PLACES = 64 };
static fl_atomic_u64 holders[PLACES];
static fl_atomic_u32 exclusive;

static inline fl_atomic_u64 *
place_of(uint64_t serial)
{
    return &holders[serial / 2 % PLACES]; /* T2 */
}

void
fl_spin_set_exclusive_runtime(void)
{
    fl_store_relaxed_u32(&exclusive, 1);
}

void
fl_spin_runtime_held(void)
{
    uint64_t self = fl_thread_self();
    if (fl_load_relaxed_u32(&exclusive) && self != 0) {
        fl_store_relaxed_u64(place_of(self), self);
    }
}

void
fl_spin_runtime_left(void)
{
    uint64_t self = fl_thread_self();
    if (fl_load_relaxed_u32(&exclusive) && fl_load_relaxed_u64(place_of(self)) == self) {
        fl_store_relaxed_u64(place_of(self), 0);
    }
}

void
fl_spin_after_fork_in_child(void)
{
    fl_store_relaxed_u32(&spinners, 0);
    for (int i = 0; i < PLACES; i++) {
        fl_store_relaxed_u64(&holders[i], 0);
    }
}

typedef struct {
    fl_atomic_u64 *place;
    uint64_t serial;
} following;

static bool
has_left(void *arg)
{
    following *ctx = arg;
    return fl_load_relaxed_u64(ctx->place) != ctx->serial;
}

void
fl_spin_for_runtime(uint64_t serial)
{
    following ctx = {place_of(serial), serial};
    if (fl_load_relaxed_u32(&exclusive) && serial != 0 && !has_left(&ctx) && begin_spinning()) {
        (void)spin((spin_plan){has_left, &ctx, FL_SPIN_RUNTIME_NS, FL_SPIN_RUNTIME_NS});
        end_spinning();
    }
}
