/* The floor under the scenarios with several threads: the same in bare C, over pthread mutexes, condition variables and
 * barriers.  Compiled on demand by pthreads.py; never part of the package.
 *
 *     pthreads NAME THREADS SIZE
 *
 * prints the number of operations, and what they took: wall-clock seconds, processor seconds, voluntary context
 * switches. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_cond_t all_back = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_barrier_t begin;
static long threads, size;
static volatile long turn, total, generation, back;

/* Two threads hand a turn to each other. */
static void *
ping_pong(void *arg)
{
    long me = (long)arg;
    pthread_barrier_wait(&begin);
    for (long i = 0; i < size / 2; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != me) {
            pthread_cond_wait(&condition, &mutex);
        }
        turn = 1 - me;
        pthread_cond_signal(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

/* All count up one number. */
static void *
contended(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&begin);
    for (long i = 0; i < size / threads; i++) {
        pthread_mutex_lock(&mutex);
        total++;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void *
barrier_rounds(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&begin);
    for (long i = 0; i < size; i++) {
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

/* Thread 0 wakes all the others, again and again. */
static void *
broadcast(void *arg)
{
    long waiters = threads - 1, rounds = size / waiters;
    pthread_barrier_wait(&begin);
    pthread_mutex_lock(&mutex);
    for (long i = 0; i < rounds; i++) {
        if ((long)arg == 0) {
            while (back < waiters) {
                pthread_cond_wait(&all_back, &mutex);
            }
            back = 0;
            generation++;
            pthread_cond_broadcast(&condition);
        }
        else {
            if (++back == waiters) {
                pthread_cond_signal(&all_back);
            }
            while (generation == i) {
                pthread_cond_wait(&condition, &mutex);
            }
        }
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static double
seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long
switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void *(*run)(void *arg);
    } scenarios[] = {
        {"ping_pong", ping_pong}, {"contended", contended}, {"barrier", barrier_rounds}, {"broadcast", broadcast}};
    void *(*run)(void *arg) = NULL;
    for (size_t i = 0; argc == 4 && i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            run = scenarios[i].run;
        }
    }
    if (run == NULL) {
        fprintf(stderr, "usage: pthreads ping_pong|contended|barrier|broadcast THREADS SIZE\n");
        return 2;
    }
    threads = atol(argv[2]) + (run == broadcast);
    size = atol(argv[3]);
    pthread_t *started = calloc((size_t)threads, sizeof *started);
    if (started == NULL || pthread_barrier_init(&begin, NULL, (unsigned)threads + 1) != 0 ||
        pthread_barrier_init(&barrier, NULL, (unsigned)threads) != 0) {
        return 1;
    }
    for (long i = 0; i < threads; i++) {
        if (pthread_create(&started[i], NULL, run, (void *)i) != 0) {
            return 1;
        }
    }
    pthread_barrier_wait(&begin);
    double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    long slept = switches();
    for (long i = 0; i < threads; i++) {
        pthread_join(started[i], NULL);
    }
    printf("%ld %.9f %.9f %ld\n",
           size,
           seconds_of(CLOCK_MONOTONIC) - wall,
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu,
           switches() - slept);
    free(started);
    return 0;
}
