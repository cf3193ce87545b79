/* The calls of the system that cannot fail: where one does, the process ends at once, with a message that names the
 * call.  To go on would be to lose a wake-up, or to let two threads have a lock. */

#include "faulty_operations.h"

#include "core/dump_later.h"
#include "core/lot/spin.h"

#include <string.h>
#include <sys/resource.h>

/* Runs in the child when it ends with abort(): says which call has failed, beside the message of the core. */
static void
report_call(int signal_number)
{
    char text[64];
    const char *name = faults_last();
    size_t length = strlen(name);
    CHECK(length < sizeof text);
    memcpy(text, name, length);
    text[length] = ';';
    CHECK_EQUAL(write(STDERR_FILENO, text, length + 1), length + 1); /* in one piece: two sides of a fork may say it */
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

typedef struct {
    char text[512];
    int status;
} end_of_child;

/* Takes out of the text what qemu says of a program that dies of a signal: a line of its own, on stderr. */
static void
forget_emulator(char *text)
{
    char *line;
    while ((line = strstr(text, "qemu: uncaught target signal"))) {
        const char *next = strchr(line, '\n');
        next = next ? next + 1 : line + strlen(line);
        memmove(line, next, strlen(next) + 1);
    }
}

/* A child does it, in the role of a thread that has no serial.  Returns how that has ended, and what it has said. */
static end_of_child
end_of(void (*body)(void *arg, int call), void *arg, int call)
{
    end_of_child end = {.text = ""};
    int ends[2];
    CHECK_EQUAL(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_dump = {0, 0};
        CHECK_EQUAL(setrlimit(RLIMIT_CORE, &no_dump), 0);
        CHECK_EQUAL(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
        CHECK(signal(SIGABRT, report_call) != SIG_ERR);
        alarm(TEST_LIMIT_S / 2);
        body(arg, call);
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t more;
    while ((more = read(ends[0], end.text + length, sizeof end.text - 1 - length)) > 0) {
        length += (size_t)more;
    }
    close(ends[0]);
    CHECK_EQUAL(waitpid(pid, &end.status, 0), pid);
    forget_emulator(end.text);
    return end;
}

/* Whether the text is what a process says that dies of a call, or what two say, which are both sides of a fork. */
static bool
names_the_call(const char *text)
{
    char call[64] = "?";
    char m[160]; /* the core's message, and the report of the call that has failed */
    char r[72];
    char once[sizeof m + sizeof r];
    char mrmr[2 * sizeof once];
    char mmrr[2 * sizeof once];
    const char *reported = strrchr(text, '\n');
    (void)(reported && sscanf(reported + 1, "%63[^;];", call));
    (void)snprintf(m, sizeof m, "pyfastlock: %s failed: %s\n", call, strerror(EINVAL));
    (void)snprintf(r, sizeof r, "%s;", call);
    (void)snprintf(once, sizeof once, "%s%s", m, r);
    (void)snprintf(mrmr, sizeof mrmr, "%s%s", once, once);
    (void)snprintf(mmrr, sizeof mmrr, "%s%s%s%s", m, m, r, r);
    return strcmp(text, once) == 0 || strcmp(text, mrmr) == 0 || strcmp(text, mmrr) == 0;
}

/* Whether the child has died of the call that failed, as it has to. */
static bool
has_died(const end_of_child *end)
{
    if (WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0) {
        CHECK_EQUAL(end->text[0], 0);
        return false;
    }
    bool names_it = names_the_call(end->text);
    if (!names_it) {
        fprintf(stderr, "the child's end: status %x, \"%s\"\n", (unsigned)end->status, end->text);
    }
    CHECK(names_it);
    CHECK(WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGABRT);
    return true;
}

static void
run_operation(void *arg, int call)
{
    scene self;
    set_up_scene(&self, arg);
    fl_thread_serial = 0; /* as a thread that has just begun */
    faults_plan(FAULTS_FATAL, call, call);
    CHECK_EQUAL(self.operation->run(&self), self.operation->done);
    int calls = faults_forget();
    if (calls < call) {
        self.operation->check(&self, true);
    }
    CHECK_EQUAL(faults_failed(), 0); /* it has survived one */
}

static int total;

/* The first, the second and so on; of hundreds only some. */
static void
let_each_fail(const char *name, void (*body)(void *arg, int call), void *arg)
{
    int died = 0;
    for (int call = 1;; call += call < 60 ? 1 : 101) {
        end_of_child end = end_of(body, arg, call);
        if (!has_died(&end)) {
            break;
        }
        died++;
    }
    printf("  %-40s %d calls\n", name, died);
    total += died;
}

static void
test_each_operation(void)
{
    for (int i = 0; i < OPERATIONS; i++) {
        if (!operations[i].needs_thread) {
            let_each_fail(operations[i].name, run_operation, (void *)&operations[i]);
        }
    }
}

/* ---- what is no operation of a primitive ---- */

#if defined(__SANITIZE_THREAD__)
enum { CHILD_STARTS_THREADS = false };
#else
enum { CHILD_STARTS_THREADS = true };
#endif

static void *
end_registered(void *arg)
{
    (void)fl_thread_register();
    faults_plan(FAULTS_FATAL, *(int *)arg, *(int *)arg); /* nobody forgets it: the thread ends */
    return NULL;
}

static void
end_a_thread(void *arg, int call)
{
    (void)arg;
    join_thread(start_thread(end_registered, &call));
}

static void
look_for_a_thread(void *arg, int call)
{
    (void)arg;
    faults_plan(FAULTS_FATAL, call, call);
    CHECK(fl_thread_ident(fl_thread_self()) != 0);
}

static void
start_and_end_watchdog(void *arg, int call)
{
    (void)arg;
    faults_plan(FAULTS_FATAL, call, call);
    CHECK_EQUAL(fl_dump_later((fl_dump_plan){.timeout_ns = INT64_MAX / 2, .fd = 2}), 0);
    fl_dump_cancel_later();
}

static void
set_up_again(void *arg, int call)
{
    (void)arg;
    faults_plan(FAULTS_FATAL, call, call);
    CHECK_EQUAL(fl_core_init(), 0);
}

/* A sleep without a limit: it ends in the call, or nobody would end it. */
static void
sleep_for_ever(void *arg, int call)
{
    (void)arg;
    fl_parker parker;
    CHECK_EQUAL(fl_parker_init(&parker), 0);
    faults_plan(FAULTS_FATAL, call, call);
    (void)fl_parker_sleep(&parker, FL_DEADLINE_NEVER, false);
}

/* The waker is faster than the system call, or slower. */
static void
wake_sleeper(void *arg, int call)
{
    fl_parker *parker = arg;
    CHECK_EQUAL(fl_parker_init(parker), 0);
    fl_store_relaxed_u32(&parker->state, FL_PARKER_ASLEEP);
    faults_plan(FAULTS_FATAL, call, call);
    fl_parker_wake(parker);
}

static void
test_parker(void)
{
    fl_parker parker;
    end_of_child end = end_of(sleep_for_ever, NULL, FL_PARK_FUTEX ? 1 : 2);
    CHECK(has_died(&end));
    total++;
    let_each_fail("wake", wake_sleeper, &parker);
}

static void
test_threads(void)
{
    if (CHILD_STARTS_THREADS) {
        let_each_fail("end of a thread", end_a_thread, NULL);
        let_each_fail("watchdog", start_and_end_watchdog, NULL);
    }
    else {
        printf("  SKIPPED the end of a thread, and the watchdog: ThreadSanitizer lets a child start none\n");
    }
    let_each_fail("set up again", set_up_again, NULL);
    let_each_fail("look for a thread", look_for_a_thread, NULL);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    CHECK(fl_thread_register() != 0);
    fl_spin_enable(false); /* how often a spin looks at the clock is another figure each time */
    RUN(test_each_operation);
    RUN(test_parker);
    RUN(test_threads);
    printf("%d calls have ended the process, each with its name\n", total);
    return 0;
}
