/* core/dump.h, core/dump_later.h, core/dump_signal.h */

#include "core/dump.h"
#include "core/dump_later.h"
#include "core/dump_signal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/deadlock.h"
#include "core/lot/bucket.h"
#include "core/rmutex.h"
#include "fake_blocker.h"
#include "fork_helpers.h"
#include "lot_helpers.h"

static fl_dump_name
name_by_key(const fl_waiter *waiter)
{
    return (fl_dump_name){.type = waiter->kind == FL_FOR_RMUTEX ? "rmutex" : "mutex", .address = waiter->key};
}

/* ---- what is written ---- */

static int ends[2]; /* of a pipe */
static char written[1 << 18];

static void
open_pipe(void)
{
    CHECK_EQUAL(pipe(ends), 0);
}

/* Reads what was written until `end` is there. */
static void
read_until(const char *end)
{
    size_t length = 0;
    written[0] = '\0';
    while (strstr(written, end) == NULL) {
        ssize_t more = read(ends[0], written + length, sizeof written - 1 - length);
        CHECK(more > 0);
        length += (size_t)more;
        written[length] = '\0';
    }
}

static void
close_pipe(void)
{
    CHECK_EQUAL(close(ends[0]), 0);
    CHECK_EQUAL(close(ends[1]), 0);
}

static int
count_in_written(const char *what)
{
    int count = 0;
    for (const char *at = written; (at = strstr(at, what)) != NULL; at++) {
        count++;
    }
    return count;
}

/* Dumps, and returns how often `what` is in the text. */
static int
count_in_dump(const char *what)
{
    CHECK_EQUAL(fl_dump_write(ends[1]), 0);
    CHECK_EQUAL(write(ends[1], "END", 3), 3);
    read_until("END");
    return count_in_written(what);
}

/* ---- waits ---- */

static fl_rmutex owned;

static void *
take_and_release(void *arg)
{
    CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, arg, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    CHECK(fl_rmutex_unlock(arg));
    return NULL;
}

static void
wait_until_queued(const void *key, size_t count)
{
    while (fl_lot_count(key) != count) {
        sched_yield();
    }
}

static void
test_a_line_for_each_thread(void)
{
    enum { MANY = 5 };
    pthread_t threads[MANY];
    char held_by[64];
    open_pipe();
    CHECK_EQUAL(count_in_dump("0 threads wait for objects"), 1);
    CHECK_EQUAL(fl_rmutex_try_lock(&owned), FL_LOCK_ACQUIRED);
    for (int i = 0; i < MANY; i++) {
        threads[i] = start_thread(take_and_release, &owned);
    }
    wait_until_queued(&owned, MANY);
    CHECK_EQUAL(count_in_dump("\nThread 0x"), MANY);
    CHECK_EQUAL(count_in_written("5 threads wait for objects"), 1);
    CHECK_EQUAL(count_in_written(", 4 others wait\n"), MANY);
    CHECK_EQUAL(count_in_written("Deadlock"), 0);
    snprintf(held_by,
             sizeof held_by,
             "for <rmutex at %p> held by thread 0x%0*jx,",
             (void *)&owned,
             (int)(2 * sizeof(void *)),
             (uintmax_t)(uintptr_t)pthread_self());
    CHECK_EQUAL(count_in_written(held_by), MANY);
    CHECK(fl_rmutex_unlock(&owned));
    for (int i = 0; i < MANY; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(count_in_dump("\nThread"), 0);
    close_pipe();
}

/* Waiters that no thread sleeps with: as many as one likes. */
static void
test_more_waits_than_are_shown(void)
{
    enum { MANY = 1100 };
    static char keys[MANY];
    fl_waiter *waiters = calloc(MANY, sizeof *waiters);
    CHECK(waiters != NULL);
    for (int i = 0; i < MANY; i++) {
        fl_bucket *bucket = fl_bucket_of(&keys[i]);
        waiters[i].thread = fl_thread_register();
        waiters[i].since_ns = fl_clock_now_ns();
        waiters[i].deadline_ns = waiters[i].since_ns + 2500 * (int64_t)NS_PER_MS;
        fl_bucket_lock(bucket);
        (void)fl_bucket_put_in(bucket, &waiters[i], &keys[i]);
        fl_bucket_unlock(bucket);
    }
    int fd = open("/tmp", O_RDWR | O_TMPFILE, 0600);
    FILE *file = fd < 0 ? tmpfile() : fdopen(fd, "r+");
    CHECK(file != NULL);
    CHECK_EQUAL(fl_dump_write(fileno(file)), 0);
    rewind(file);
    written[fread(written, 1, sizeof written - 1, file)] = '\0';
    CHECK_EQUAL(fclose(file), 0);
    CHECK_EQUAL(count_in_written("\nThread 0x"), 1024);
    CHECK_EQUAL(count_in_written(" of 2.500 s for <mutex at 0x"), 1024);
    CHECK_EQUAL(count_in_written("\n... and 76 more\n"), 1);
    for (int i = 0; i < MANY; i++) {
        fl_bucket *bucket = fl_bucket_of(&keys[i]);
        fl_bucket_lock(bucket);
        fl_bucket_take_out(bucket, &waiters[i]);
        fl_bucket_unlock(bucket);
    }
    free(waiters);
}

static fl_rmutex orphan;

static void *
take_and_end(void *arg)
{
    (void)fl_thread_register();
    if (arg) {
        CHECK_EQUAL(fl_rmutex_try_lock(arg), FL_LOCK_ACQUIRED);
    }
    return NULL;
}

/* The identifiers of the last 64 threads that have ended are known. */
static void
test_an_owner_that_is_forgotten(void)
{
    open_pipe();
    join_thread(start_thread(take_and_end, &orphan));
    uint64_t owner = fl_word_owner(fl_load_relaxed_u64(&orphan.word));
    fl_waiter waiter = {.kind = FL_FOR_RMUTEX, .thread = owner, .deadline_ns = FL_DEADLINE_NEVER};
    fl_bucket *bucket = fl_bucket_of(&orphan);
    fl_bucket_lock(bucket);
    (void)fl_bucket_put_in(bucket, &waiter, &orphan);
    fl_bucket_unlock(bucket);
    CHECK_EQUAL(count_in_dump("Thread 0x"), 1);
    CHECK_EQUAL(count_in_written("> whose owner, thread 0x"), 1);
    for (int i = 0; i < 64; i++) {
        join_thread(start_thread(take_and_end, NULL));
    }
    CHECK_EQUAL(count_in_dump("Thread that is forgotten waiting "), 1);
    CHECK_EQUAL(count_in_written("> whose owner, thread that is forgotten, has ended\n"), 1);
    fl_bucket_lock(bucket);
    fl_bucket_take_out(bucket, &waiter);
    fl_bucket_unlock(bucket);
    close_pipe();
}

static void
test_a_file_that_cannot_be_written(void)
{
    CHECK_EQUAL(fl_dump_write(-1), EBADF);
    int fd = open("/dev/full", O_WRONLY);
    if (fd >= 0) {
        CHECK_EQUAL(fl_dump_write(fd), ENOSPC);
        CHECK_EQUAL(close(fd), 0);
    }
}

/* ---- what the thread that dumps holds already (V2, V3) ---- */

static void
test_the_thread_has_a_mutex_already(void)
{
    fl_bucket *bucket = fl_bucket_of(&owned);
    open_pipe();
    fl_bucket_lock(bucket);
    CHECK_EQUAL(count_in_dump("the locks are busy"), 1);
    fl_bucket_unlock(bucket);
    fl_thread_lock_registry();
    CHECK_EQUAL(count_in_dump("the locks are busy"), 1);
    fl_thread_unlock_registry();
    CHECK_EQUAL(count_in_dump("the locks are busy"), 0);
    close_pipe();
}

/* Another thread has the table: it fills a pipe. */
static int full[2];

static void *
dump_into_full_pipe(void *arg)
{
    (void)arg;
    CHECK_EQUAL(fl_dump_write(full[1]), 0);
    return NULL;
}

static void
dump_without_that_thread(void *arg)
{
    (void)arg;
    CHECK_EQUAL(count_in_dump("0 threads wait"), 1);
}

static void
fill_pipe(void)
{
    char page[4096] = {0};
    CHECK_EQUAL(fcntl(full[1], F_SETFL, O_NONBLOCK), 0);
    while (write(full[1], page, sizeof page) > 0) {
    }
    CHECK_EQUAL(fcntl(full[1], F_SETFL, 0), 0);
}

static void
empty_pipe(void)
{
    char page[4096];
    struct pollfd waiting = {.fd = full[0], .events = POLLIN};
    while (poll(&waiting, 1, 100) == 1 && read(full[0], page, sizeof page) > 0) {
    }
}

/* The thread has the table when it sleeps in its write, unless it came while this one had the table. */
static void
test_two_dumps_at_once(void)
{
    bool found = false;
    open_pipe();
    CHECK_EQUAL(pipe(full), 0);
    while (!found) {
        fill_pipe();
        pthread_t thread = start_thread(dump_into_full_pipe, NULL);
        for (int i = 0; i < 100; i++) {
            pause_briefly();
        }
        found = count_in_dump("another dump is being written") != 0;
        if (found) {
            in_child(dump_without_that_thread, NULL);
        }
        empty_pipe();
        join_thread(thread);
    }
    CHECK_EQUAL(count_in_dump("0 threads wait"), 1);
    CHECK_EQUAL(close(full[0]), 0);
    CHECK_EQUAL(close(full[1]), 0);
    close_pipe();
}

/* ---- while others work ---- */

static fl_rmutex contended;
static fl_atomic_u32 stop;

static void *
lock_and_unlock(void *arg)
{
    (void)arg;
    while (!fl_load_relaxed_u32(&stop)) {
        if (fl_rmutex_try_lock(&contended) == FL_LOCK_ACQUIRED ||
            fl_lock_wait(&fl_rmutex_ops.wait, &contended, FL_DEADLINE_NEVER, NULL) == FL_LOCK_ACQUIRED) {
            CHECK(fl_rmutex_unlock(&contended));
        }
    }
    return NULL;
}

static void
test_while_others_work(void)
{
    enum { WORKERS = 4 };
    pthread_t threads[WORKERS];
    open_pipe();
    fl_store_relaxed_u32(&stop, 0);
    for (int i = 0; i < WORKERS; i++) {
        threads[i] = start_thread(lock_and_unlock, NULL);
    }
    for (int i = 0; i < 200; i++) {
        CHECK_EQUAL(count_in_dump("Deadlock"), 0);
    }
    fl_store_relaxed_u32(&stop, 1);
    for (int i = 0; i < WORKERS; i++) {
        join_thread(threads[i]);
    }
    close_pipe();
}

/* ---- later ---- */

/* The sanitizers may be in the middle of something in other threads when a child begins.  ThreadSanitizer delivers what
 * a handler raises when that has returned. */
#if defined(__SANITIZE_THREAD__)
enum { CHILDREN_START_THREADS = 0, HANDLERS_RAISE = 0 };
#elif defined(__SANITIZE_ADDRESS__)
enum { CHILDREN_START_THREADS = 0, HANDLERS_RAISE = 1 };
#else
enum { CHILDREN_START_THREADS = 1, HANDLERS_RAISE = 1 };
#endif

static fl_dump_plan
plan_after_ms(int64_t ms)
{
    return (fl_dump_plan){.timeout_ns = ms * NS_PER_MS, .fd = ends[1]};
}

static void
check_nothing_is_written(void)
{
    CHECK_EQUAL(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    CHECK(read(ends[0], written, 1) < 0 && errno == EAGAIN);
    CHECK_EQUAL(fcntl(ends[0], F_SETFL, 0), 0);
}

static void
dump_in_child(void *arg)
{
    (void)arg;
    fl_dump_cancel_later(); /* there is none to end */
    if (CHILDREN_START_THREADS) {
        CHECK_EQUAL(fl_dump_later(plan_after_ms(5)), 0);
        read_until("0 threads wait for objects of pyfastlock\n");
        fl_dump_cancel_later();
    }
}

static void
test_later(void)
{
    fl_dump_plan plan;
    open_pipe();
    fl_dump_cancel_later();
    CHECK_EQUAL(fl_dump_later(plan_after_ms(5)), 0);
    read_until("Timeout (0:00:00.005000)!\n0 threads wait for objects of pyfastlock\n");
    plan = plan_after_ms(1000);
    plan.timeout_ns += 499001;
    CHECK_EQUAL(fl_dump_later(plan), 0);
    read_until("Timeout (0:00:01.000500)!\n0 threads wait for objects of pyfastlock\n");
    CHECK_EQUAL(fl_dump_later(plan_after_ms(3661000)), 0);
    in_child(dump_in_child, NULL);
    CHECK_EQUAL(fl_dump_later(plan_after_ms(3661000)), 0);
    fl_dump_cancel_later_to(ends[1] + 1); /* another file */
    fl_dump_cancel_later_to(ends[1]);
    fl_dump_cancel_later();
    check_nothing_is_written();
    close_pipe();
}

static void
test_later_and_again(void)
{
    fl_dump_plan plan;
    open_pipe();
    plan = plan_after_ms(2);
    plan.repeats = true;
    CHECK_EQUAL(fl_dump_later(plan), 0);
    for (int i = 0; i < 3; i++) {
        read_until("0 threads wait for objects of pyfastlock\n");
    }
    fl_dump_cancel_later();
    close_pipe();
}

static void
test_later_and_exit(void)
{
    int status;
    open_pipe();
    pid_t pid = CHILDREN_START_THREADS ? fork() : 1;
    CHECK(pid >= 0);
    if (pid == 1) {
        close_pipe();
        return;
    }
    if (pid == 0) {
        fl_dump_plan plan = plan_after_ms(1);
        plan.exits = true;
        CHECK_EQUAL(fl_dump_later(plan), 0);
        for (;;) {
            pause();
        }
    }
    read_until("0 threads wait for objects of pyfastlock\n");
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    close_pipe();
}

static void
dump_at_once(void *arg)
{
    (void)arg;
    if (CHILDREN_START_THREADS) {
        CHECK_EQUAL(fl_dump_later(plan_after_ms(1)), 0);
    }
    fl_dump_cancel_later();
}

static void *
start_and_cancel(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        CHECK_EQUAL(fl_dump_later(plan_after_ms(i % 3 ? 3600000 : 1)), 0);
        if (i % 2) {
            fl_dump_cancel_later();
        }
    }
    return NULL;
}

static void
test_watchdogs_of_many_threads(void)
{
    enum { MANY = 4 };
    pthread_t threads[MANY];
    open_pipe();
    CHECK_EQUAL(close(ends[1]), 0);
    ends[1] = open("/dev/null", O_WRONLY);
    CHECK(ends[1] >= 0);
    for (int i = 0; i < MANY; i++) {
        threads[i] = start_thread(start_and_cancel, NULL);
    }
    for (int i = 0; i < 20; i++) {
        in_child(dump_at_once, NULL);
    }
    for (int i = 0; i < MANY; i++) {
        join_thread(threads[i]);
    }
    fl_dump_cancel_later();
    close_pipe();
}

/* ---- at a signal ---- */

static volatile sig_atomic_t calls;

static void
count_call(int signum)
{
    (void)signum;
    calls++;
}

/* Calls a handler that has been taken back: it began a moment before, in another thread.  What it takes for its file,
 * descriptor 0, is the pipe. */
static void
call_late(void (*handler)(int))
{
    int kept = dup(0);
    CHECK_EQUAL(dup2(ends[1], 0), 0);
    handler(SIGUSR1);
    CHECK_EQUAL(kept < 0 ? close(0) : dup2(kept, 0), 0);
    (void)close(kept);
}

static void
test_at_a_signal(void)
{
    struct sigaction ours;
    CHECK(!fl_dump_is_signal(0) && fl_dump_is_signal(SIGUSR1) && !fl_dump_is_signal(NSIG));
    open_pipe();
    signal(SIGUSR1, count_call);
    CHECK(!fl_dump_unregister(SIGUSR1));
    CHECK_EQUAL(fl_dump_register(SIGKILL, ends[1], false), EINVAL);
    CHECK(!fl_dump_unregister(SIGKILL));
    CHECK_EQUAL(fl_dump_register(SIGUSR1, ends[1], false), 0);
    CHECK_EQUAL(sigaction(SIGUSR1, NULL, &ours), 0);
    raise(SIGUSR1);
    read_until("0 threads wait for objects of pyfastlock\n");
    CHECK_EQUAL(calls, 0);
    CHECK_EQUAL(fl_dump_register(SIGUSR1, ends[1], true), 0); /* the previous handler is still count_call */
    for (int i = 1; i <= 3 && HANDLERS_RAISE; i++) {
        raise(SIGUSR1);
        read_until("0 threads wait for objects of pyfastlock\n");
        CHECK_EQUAL(calls, i);
    }
    calls = 0;
    fl_dump_unregister_from(SIGUSR1, ends[1] + 1); /* another file */
    CHECK(fl_dump_unregister(SIGUSR1));
    raise(SIGUSR1);
    CHECK_EQUAL(calls, 1);
    CHECK_EQUAL(fl_dump_register(SIGUSR1, ends[1], false), 0);
    fl_dump_unregister_from(SIGUSR1, ends[1]);
    CHECK(!fl_dump_unregister(SIGUSR1));
    CHECK_EQUAL(fl_dump_register(SIGUSR1, INT_MAX / 8, false), 0); /* no such file */
    errno = E2BIG;
    raise(SIGUSR1);
    CHECK_EQUAL(errno, E2BIG);
    CHECK(fl_dump_unregister(SIGUSR1));
    raise(SIGUSR1);
    CHECK_EQUAL(calls, 2);
    call_late(ours.sa_handler);
    check_nothing_is_written();
    close_pipe();
}

/* The main thread works with the locks, and is interrupted anywhere: also where it has a mutex of the core. */
static fl_atomic_u32 worker_stopped;

static void *
send_signals(void *arg)
{
    pthread_t *target = arg;
    for (int i = 0; i < 300; i++) {
        CHECK_EQUAL(pthread_kill(*target, SIGUSR1), 0);
        sched_yield();
    }
    fl_store_relaxed_u32(&worker_stopped, 1);
    return NULL;
}

static void
test_signals_anywhere(void)
{
    pthread_t self = pthread_self();
    int fd = open("/dev/null", O_WRONLY);
    CHECK(fd >= 0);
    CHECK_EQUAL(fl_dump_register(SIGUSR1, fd, false), 0);
    pthread_t sender = start_thread(send_signals, &self);
    while (!fl_load_relaxed_u32(&worker_stopped)) {
        (void)fl_lot_count(&contended);
        fl_lot_walk_all(NULL, NULL);
        (void)fl_thread_ident(fl_thread_register());
    }
    join_thread(sender);
    CHECK(fl_dump_unregister(SIGUSR1));
    CHECK_EQUAL(close(fd), 0);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    fl_dump_init(name_by_key);
    RUN(test_a_line_for_each_thread);
    RUN(test_more_waits_than_are_shown);
    RUN(test_an_owner_that_is_forgotten);
    RUN(test_a_file_that_cannot_be_written);
    RUN(test_the_thread_has_a_mutex_already);
    RUN(test_two_dumps_at_once);
    RUN(test_while_others_work);
    RUN(test_later);
    RUN(test_later_and_again);
    RUN(test_later_and_exit);
    RUN(test_watchdogs_of_many_threads);
    RUN(test_at_a_signal);
    RUN(test_signals_anywhere);
    return 0;
}
