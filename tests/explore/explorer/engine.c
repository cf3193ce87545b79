/* The search. */

#include "engine.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ex_state ex;

enum { CHOICES_MAX = 1 << 14, OPTIONS_MAX = 32, FORCED_MAX = 64, STEPS_MAX = 100000, ALIVE_S = 10 };

static jmp_buf out_of_check;
static char failure[512];

/* ---- choices ---- */

typedef struct {
    uint16_t options, chosen;
} choice;

static choice *choices;
static int known;   /* how many choices this run repeats, or has made */
static int made;    /* how many it has made so far */
static bool is_cut; /* it has come to a state that was there before */

static ex_figures *figures;

static int
choose(int options, bool looks_at_state)
{
    if (options == 1) {
        return 0;
    }
    if (made < known) {
        return choices[made++].chosen;
    }
    if (looks_at_state && ex_states_are_kept() && !ex_states_add(ex_memory_hash())) {
        is_cut = true;
        return 0;
    }
    if (made == CHOICES_MAX) {
        ex.failure = "the run does not end: it has too many choices";
        return 0;
    }
    choices[made].options = (uint16_t)options;
    choices[made].chosen = 0;
    known = ++made;
    return 0;
}

/* The choices of the next run: the last one that has another option takes it.  Returns false where none has. */
static bool
next_choices(void)
{
    known = made;
    while (known > 0) {
        if (++choices[known - 1].chosen < choices[known - 1].options) {
            return true;
        }
        known--;
    }
    return false;
}

void
ex_print_choices(void)
{
    for (int i = 0; i < made; i++) {
        printf("%c", choices[i].chosen < 10 ? '0' + choices[i].chosen : 'a' + choices[i].chosen - 10);
    }
}

/* ---- failures ---- */

_Noreturn void
ex_fail(const char *file, int line, const char *format, ...)
{
    char text[384];
    const char *name = strrchr(file, '/');
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(failure, sizeof failure, "%s:%d: %s", name ? name + 1 : file, line, text);
    ex.failure = failure;
    if (ex.in_thread) {
        ex_leave();
    }
    longjmp(out_of_check, 1);
}

/* ---- one run ---- */

typedef enum { GOES_ON, TIMES_OUT, IS_INTERRUPTED, WAKES_SPURIOUSLY } transition;

typedef struct {
    transition what;
    int thread;
} option;

static bool
is_asleep(const ex_thread *thread)
{
    return thread->status == EX_READY && (thread->op == EX_OP_SLEEP || thread->op == EX_OP_AWAIT) &&
           !ex_can_go_on(thread);
}

static void
add(option *options, int *count, transition what, int thread)
{
    options[(*count)++] = (option){what, thread};
}

/* Which threads could go on.  The one that ran last comes first; to prefer another one is a preemption. */
static int
list_runnable(option *options)
{
    int count = 0;
    int current = ex.current;
    bool stays = current >= 0 && ex_can_go_on(&ex.thread[current]);
    if (stays) {
        add(options, &count, GOES_ON, current);
        if (ex.used.preemptions >= ex.limits.preemptions) {
            return count;
        }
    }
    for (int i = 0; i < ex.threads; i++) {
        if (i != current && ex_can_go_on(&ex.thread[i])) {
            add(options, &count, GOES_ON, i);
        }
    }
    return count;
}

static int
first_deadline(void)
{
    int first = -1;
    for (int i = 0; i < ex.threads; i++) {
        const ex_thread *thread = &ex.thread[i];
        if (is_asleep(thread) && thread->deadline_ns != INT64_MAX &&
            (first < 0 || thread->deadline_ns < ex.thread[first].deadline_ns)) {
            first = i;
        }
    }
    return first;
}

static void
list_events(option *options, int *count)
{
    for (int i = 0; i < ex.threads; i++) {
        const ex_thread *thread = &ex.thread[i];
        if (!is_asleep(thread)) {
            continue;
        }
        if (thread->deadline_ns != INT64_MAX && ex.used.timeouts < ex.limits.timeouts) {
            add(options, count, TIMES_OUT, i);
        }
        if (thread->op == EX_OP_SLEEP && ex.used.interrupts < ex.limits.interrupts) {
            add(options, count, IS_INTERRUPTED, i);
        }
        if (ex.used.spurious < ex.limits.spurious) {
            add(options, count, WAKES_SPURIOUSLY, i);
        }
    }
}

static bool
have_all_ended(void)
{
    for (int i = 0; i < ex.threads; i++) {
        if (ex.thread[i].status == EX_READY) {
            return false;
        }
    }
    return true;
}

static void
fail_as_stuck(void)
{
    size_t used = (size_t)sprintf(failure, "asleep for ever, and nobody is left to wake them: threads");
    for (int i = 0; i < ex.threads; i++) {
        if (ex.thread[i].status == EX_READY) {
            used += (size_t)sprintf(failure + used, " %d", i);
        }
    }
    ex.failure = failure;
}

/* Ends a sleep otherwise than by its wake-up. */
static void
end_sleep(ex_thread *thread, ex_wake how)
{
    thread->wake = how;
    if (how == EX_TIMED_OUT && ex.now_ns < thread->deadline_ns) {
        ex.now_ns = thread->deadline_ns;
    }
}

static void
go_on(int number)
{
    ex_thread *thread = &ex.thread[number];
    if (ex.current >= 0 && ex.current != number && ex_can_go_on(&ex.thread[ex.current])) {
        ex.used.preemptions++;
    }
    ex_thread_resume(number);
    while (!ex.failure && thread->status == EX_READY && thread->op == EX_OP_CHOOSE) {
        thread->chosen = choose(thread->options, false);
        ex_thread_resume(number);
    }
    figures->steps++;
}

static void
apply(option chosen)
{
    static const char *const names[] = {[TIMES_OUT] = "times out",
                                        [IS_INTERRUPTED] = "is interrupted by a signal",
                                        [WAKES_SPURIOUSLY] = "wakes spuriously"};
    ex_thread *thread = &ex.thread[chosen.thread];
    if (chosen.what == GOES_ON) {
        go_on(chosen.thread);
        return;
    }
    ex_trace_note("thread %d %s", chosen.thread, names[chosen.what]);
    if (chosen.what == TIMES_OUT) {
        ex.used.timeouts += ex.used.timeouts < ex.limits.timeouts;
        end_sleep(thread, EX_TIMED_OUT);
    }
    else if (chosen.what == IS_INTERRUPTED) {
        ex.used.interrupts++;
        end_sleep(thread, EX_INTERRUPTED);
    }
    else {
        ex.used.spurious++;
        end_sleep(thread, EX_SPURIOUS);
    }
}

static void
look(void (*check)(void))
{
    if (check && !ex.failure && setjmp(out_of_check) == 0) {
        check();
    }
}

/* Nobody can go on.  Where a deadline is left it passes now, whatever the limits: time does not stand still. */
static void
rest(option *options, int *count, int *forced)
{
    look(ex.scenario->at_rest);
    int first = first_deadline();
    if (ex.failure) {
        return;
    }
    if (first >= 0) {
        add(options, count, TIMES_OUT, first);
        if (++*forced > FORCED_MAX) {
            ex.failure = "the run does not end: its threads do nothing but time out";
        }
    }
    else if (*count == 0) {
        fail_as_stuck();
    }
}

static void
begin_run(void)
{
    ex_memory_restore();
    ex_races_begin();
    memset(&ex.used, 0, sizeof ex.used);
    ex.run++;
    ex.now_ns = INT64_C(1000000000);
    ex.tick_ns = 0;
    ex.place_count = 0;
    ex.blocks = 0;
    ex.failure = NULL;
    made = 0;
    is_cut = false;
    ex_thread_make(EX_SETTER, (void (*)(int))(void *)ex.scenario->set_up, 0);
    if (ex.scenario->set_up) {
        ex_thread_resume(EX_SETTER);
    }
    for (int i = 0; i < ex.threads; i++) {
        ex_thread_make(i, ex.scenario->run, i);
    }
    ex.current = -1;
}

/* Makes the run that the choices say, and goes on with first options where they end. */
static void
run(void)
{
    int forced = 0;
    uint64_t end = figures->steps + STEPS_MAX;
    begin_run();
    while (!ex.failure && !is_cut) {
        if (figures->steps == end) {
            ex.failure = "the run does not end: it has too many steps";
            return;
        }
        option options[OPTIONS_MAX];
        int count = list_runnable(options);
        if (made >= known) {
            look(ex.scenario->check);
        }
        if (have_all_ended()) {
            look(ex.scenario->at_end);
            return;
        }
        bool rests = count == 0;
        list_events(options, &count);
        if (rests) {
            rest(options, &count, &forced);
        }
        if (ex.failure) {
            return;
        }
        int chosen = choose(count, true);
        if (!is_cut && !ex.failure) {
            apply(options[chosen]);
        }
        if (made > figures->deepest) {
            figures->deepest = made;
        }
    }
}

/* ---- all runs ---- */

static void
show_life(void)
{
    static time_t last;
    time_t now = time(NULL);
    if (last == 0) {
        last = now;
    }
    if (now - last >= ALIVE_S) {
        last = now;
        fprintf(stderr,
                "  %s: %" PRIu64 " schedules, %" PRIu64 " states so far\n",
                ex.scenario->name,
                figures->runs,
                ex_states_count());
    }
}

/* X3: begins anew whenever a word turns out to be shared. */
bool
ex_search(uint64_t most_runs, bool use_states, ex_figures *found)
{
    choices = ex_reserve(CHOICES_MAX * sizeof *choices);
    figures = found;
    *figures = (ex_figures){.runs = 0};
    ex_shared_forget();
    for (;;) {
        known = 0;
        ex.restarts = false;
        figures->runs = 0;
        ex_states_begin(use_states);
        do {
            run();
            figures->runs++;
            if (ex.failure) {
                return false;
            }
            if (figures->runs % 4096 == 0) {
                show_life();
            }
        } while (!ex.restarts && figures->runs < most_runs && next_choices());
        if (!ex.restarts) {
            figures->complete = figures->runs < most_runs || !next_choices();
            return true;
        }
        figures->restarts++;
    }
}

bool
ex_repeat(const char *text)
{
    static ex_figures ignored;
    choices = ex_reserve(CHOICES_MAX * sizeof *choices);
    figures = &ignored;
    ex_shared_forget();
    for (;;) {
        known = 0;
        for (const char *c = text; *c; c++) {
            choices[known].options = 36;
            choices[known++].chosen = (uint16_t)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
        }
        ex.restarts = false;
        run();
        if (!ex.restarts) {
            return ex.failure == NULL;
        }
    }
}
