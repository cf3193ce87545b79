/* The calls of the system that a test can make fail: tests/c/faults.h.  Every file of the core is compiled with this at
 * its head.  tests/project/test_sources.py compares the list with the calls that the core makes. */

#ifndef FL_TESTS_FAULTY_CALLS_H
#define FL_TESTS_FAULTY_CALLS_H

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "park/park.h"

/* ---- SCARCE ---- */

void *faulty_malloc(size_t size);
void faulty_free(void *block);
int faulty_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int faulty_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int faulty_condattr_init(pthread_condattr_t *attr);
int faulty_key_create(pthread_key_t *key, void (*destructor)(void *));
int faulty_setspecific(pthread_key_t key, const void *value);
int faulty_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int faulty_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

#define malloc(size) faulty_malloc(size)
#define free(block) faulty_free(block)
#define pthread_mutex_init(mutex, attr) faulty_mutex_init(mutex, attr)
#define pthread_cond_init(cond, attr) faulty_cond_init(cond, attr)
#define pthread_condattr_init(attr) faulty_condattr_init(attr)
#define pthread_key_create(key, destructor) faulty_key_create(key, destructor)
#define pthread_setspecific(key, value) faulty_setspecific(key, value)
#define pthread_atfork(prepare, parent, child) faulty_atfork(prepare, parent, child)
#define pthread_create(thread, attr, start, arg) faulty_create(thread, attr, start, arg)

/* ---- EARLY; those that wait are FATAL, too ---- */

long faulty_sysconf(int name);
int faulty_mutex_trylock(pthread_mutex_t *mutex);
int faulty_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int faulty_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *deadline);

#define pthread_mutex_trylock(mutex) faulty_mutex_trylock(mutex)
#define pthread_cond_wait(cond, mutex) faulty_cond_wait(cond, mutex)
#define pthread_cond_timedwait(cond, mutex, deadline) faulty_cond_timedwait(cond, mutex, deadline)
#define pthread_cond_timedwait_relative_np(cond, mutex, left) faulty_cond_timedwait(cond, mutex, left)
#define sysconf(name) faulty_sysconf(name)

#if defined(__linux__)
int faulty_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
#define sched_getaffinity(pid, size, set) faulty_getaffinity(pid, size, set)
#endif

/* ---- FATAL ---- */

int faulty_mutex_lock(pthread_mutex_t *mutex);
int faulty_mutex_unlock(pthread_mutex_t *mutex);
int faulty_mutex_destroy(pthread_mutex_t *mutex);
int faulty_cond_signal(pthread_cond_t *cond);
int faulty_cond_destroy(pthread_cond_t *cond);
int faulty_condattr_setclock(pthread_condattr_t *attr, clockid_t clock);
int faulty_condattr_destroy(pthread_condattr_t *attr);
int faulty_join(pthread_t thread, void **result);
int faulty_sigmask(int how, const sigset_t *set, sigset_t *old);
int faulty_once(pthread_once_t *once, void (*init)(void));
int faulty_gettime(clockid_t clock, struct timespec *now);

#define pthread_mutex_lock(mutex) faulty_mutex_lock(mutex)
#define pthread_mutex_unlock(mutex) faulty_mutex_unlock(mutex)
#define pthread_mutex_destroy(mutex) faulty_mutex_destroy(mutex)
#define pthread_cond_signal(cond) faulty_cond_signal(cond)
#define pthread_cond_destroy(cond) faulty_cond_destroy(cond)
#define pthread_condattr_setclock(attr, clock) faulty_condattr_setclock(attr, clock)
#define pthread_condattr_destroy(attr) faulty_condattr_destroy(attr)
#define pthread_join(thread, result) faulty_join(thread, result)
#define pthread_sigmask(how, set, old) faulty_sigmask(how, set, old)
#define pthread_once(once, init) faulty_once(once, init)
#define clock_gettime(clock, now) faulty_gettime(clock, now)

/* ---- futexes: EARLY and FATAL ---- */

#if defined(__linux__)

long faulty_futex(long number, fl_atomic_u32 *word, int operation, uint32_t value, const void *deadline, uint32_t bits);

#define syscall(number, word, operation, value, deadline, second_word, bits) \
    faulty_futex(number, word, operation, value, deadline, bits)

#endif

#endif
