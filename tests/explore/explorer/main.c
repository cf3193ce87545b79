/* The command line: explores one scenario in one way.  run.py calls this for all of them. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/fork.h"
#include "core/lot/spin.h"
#include "engine.h"

extern const ex_scenario *const __start_ex_scenarios[], *const __stop_ex_scenarios[];

int __real_clock_gettime(clockid_t clock, struct timespec *now);

static void
usage(void)
{
    fputs("usage: explore --list\n"
          "       explore SCENARIO [--gil] [--full] [--most N] [--no-states] [--preemptions N] [--timeouts N] ...\n"
          "       explore SCENARIO [--gil] [--full] [LIMITS] --repeat CHOICES\n"
          "--gil: with a runtime lock; --full: the scenario's larger limits; --most: runs at most; --no-states: runs\n"
          "that come to a state that was there before go on; LIMITS: --preemptions, --timeouts, --interrupts,\n"
          "--spurious, --lapses, --failures; --repeat: one run, with each of its steps\n",
          stderr);
    exit(2);
}

static const ex_scenario *
find(const char *name)
{
    for (const ex_scenario *const *entry = __start_ex_scenarios; entry < __stop_ex_scenarios; entry++) {
        if (strcmp((*entry)->name, name) == 0) {
            return *entry;
        }
    }
    fprintf(stderr, "explore: there is no scenario %s\n", name);
    exit(2);
}

static void
list(void)
{
    for (const ex_scenario *const *entry = __start_ex_scenarios; entry < __stop_ex_scenarios; entry++) {
        printf("%s\t%s\t%s\n",
               (*entry)->name,
               (*entry)->needs_gil      ? "gil"
               : (*entry)->needs_no_gil ? "none"
                                        : "both",
               (*entry)->what);
    }
}

typedef struct {
    bool full;
    bool use_states;
    uint64_t most;
    const char *repeat;
} request;

static int *
limit_called(const char *name)
{
    static const char *const names[] = {
        "--preemptions", "--timeouts", "--interrupts", "--spurious", "--lapses", "--failures"};
    int *const limits[] = {&ex.limits.preemptions,
                           &ex.limits.timeouts,
                           &ex.limits.interrupts,
                           &ex.limits.spurious,
                           &ex.limits.lapses,
                           &ex.limits.failures};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            return limits[i];
        }
    }
    usage();
    return NULL;
}

static request
parse(int count, char **words)
{
    request wanted = {.use_states = true, .most = UINT64_MAX};
    for (int i = 2; i < count; i++) {
        if (strcmp(words[i], "--full") == 0) {
            ex.limits = ex.scenario->full;
        }
    }
    for (int i = 2; i < count; i++) {
        const char *word = words[i];
        if (strcmp(word, "--full") == 0) {
            continue;
        }
        if (strcmp(word, "--gil") == 0) {
            ex.gil = true;
        }
        else if (strcmp(word, "--no-states") == 0) {
            wanted.use_states = false;
        }
        else if (++i == count) {
            usage();
        }
        else if (strcmp(word, "--most") == 0) {
            wanted.most = strtoull(words[i], NULL, 10);
        }
        else if (strcmp(word, "--repeat") == 0) {
            wanted.repeat = words[i];
        }
        else {
            *limit_called(word) = atoi(words[i]);
        }
    }
    return wanted;
}

/* The line that repeats this run. */
static void
print_how(int count, char **words)
{
    printf("repeat with:");
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], "--repeat") == 0 || strcmp(words[i], "--most") == 0) {
            i++;
        }
        else {
            printf(" %s", words[i]);
        }
    }
    printf(" --repeat ");
    ex_print_choices();
    printf("\n");
}

static int
repeat(const char *choices)
{
    ex.tracing = true;
    bool passed = ex_repeat(choices);
    ex_trace_print();
    printf("%s\n", passed ? "this run does not fail" : ex.failure);
    return passed ? 0 : 1;
}

int
main(int count, char **words)
{
    setenv("PYFASTLOCK_SPIN", "0", 1);
    if (count == 2 && strcmp(words[1], "--list") == 0) {
        list();
        return 0;
    }
    if (count < 2) {
        usage();
    }
    ex.scenario = find(words[1]);
    ex.limits = ex.scenario->quick;
    ex.threads = ex.scenario->threads;
    request wanted = parse(count, words);
    ex_threads_init();
    if (fl_core_init() != 0) {
        fputs("explore: fl_core_init failed\n", stderr);
        return 2;
    }
    if (ex.gil) {
        fl_spin_set_exclusive_runtime();
    }
    ex_memory_init();
    if (wanted.repeat) {
        return repeat(wanted.repeat);
    }
    ex_figures figures;
    struct timespec begin, end;
    __real_clock_gettime(CLOCK_MONOTONIC, &begin);
    bool passed = ex_search(wanted.most, wanted.use_states, &figures);
    __real_clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%s%s: %" PRIu64 " schedules, %" PRIu64 " states, %" PRIu64 " steps, %d choices at most, %.1f s, %s\n",
           ex.scenario->name,
           ex.gil ? " --gil" : "",
           figures.runs,
           ex_states_count(),
           figures.steps,
           figures.deepest,
           seconds,
           !passed            ? "FAILED"
           : figures.complete ? "complete"
                              : "bounded");
    if (!passed) {
        printf("%s\n", ex.failure);
        print_how(count, words);
    }
    return passed ? 0 : 1;
}
