/* core/thread.h */

#include "check.h"
#include "core/thread.h"
#include "platform/compiler.h"

typedef struct {
    uint64_t serial, ident;
    flag registered, stop;
} subject;

static void *
register_self(void *arg)
{
    subject *self = arg;
    CHECK_EQUAL(fl_thread_self(), 0);
    self->serial = fl_thread_register();
    self->ident = (uint64_t)(uintptr_t)pthread_self();
    CHECK_EQUAL(fl_thread_self(), self->serial);
    CHECK_EQUAL(fl_thread_register(), self->serial); /* once */
    raise_flag(&self->registered, 1);
    await_flag(&self->stop, 1);
    return NULL;
}

static void
test_serials_name_living_threads(void)
{
    enum { COUNT = 5 };
    subject subjects[COUNT] = {0};
    pthread_t threads[COUNT];
    for (int i = 0; i < COUNT; i++) {
        threads[i] = start_thread(register_self, &subjects[i]);
        await_flag(&subjects[i].registered, 1);
    }
    const int ends[COUNT] = {2, 0, 4, 3, 1}; /* out of the registry's middle and from both of its ends */
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            bool ended = fl_load_acquire_u32(&subjects[j].stop);
            CHECK(fl_thread_ident(subjects[j].serial) == (ended ? 0 : subjects[j].ident));
        }
        raise_flag(&subjects[ends[i]].stop, 1);
        join_thread(threads[ends[i]]);
    }
    CHECK_EQUAL(fl_thread_ident(0), 0); /* U1 */
}

/* Three living threads, whose serials are so far apart that they share a chain of the registry, end in any order. */
static void
test_serials_that_share_a_chain(void)
{
    enum { COUNT = 3 };
    const int orders[][COUNT] = {{0, 1, 2}, {1, 0, 2}, {2, 1, 0}};
    for (size_t order = 0; order < sizeof orders / sizeof *orders; order++) {
        subject subjects[COUNT] = {0};
        pthread_t threads[COUNT];
        for (int i = 0; i < COUNT; i++) {
            threads[i] = start_thread(register_self, &subjects[i]);
            await_flag(&subjects[i].registered, 1);
            for (int between = 1; between < FL_REGISTRY_CHAINS; between++) {
                subject other = {.stop = 1};
                join_thread(start_thread(register_self, &other));
            }
        }
        CHECK_EQUAL(subjects[1].serial - subjects[0].serial, (uint64_t)FL_REGISTRY_CHAINS * FL_THREAD_SERIAL_STEP);
        for (int i = 0; i < COUNT; i++) {
            int ends = orders[order][i];
            raise_flag(&subjects[ends].stop, 1);
            join_thread(threads[ends]);
            for (int j = 0; j < COUNT; j++) {
                bool ended = fl_load_acquire_u32(&subjects[j].stop);
                CHECK(fl_thread_ident(subjects[j].serial) == (ended ? 0 : subjects[j].ident));
            }
        }
    }
}

static void
test_t19_serials_are_not_used_again(void)
{
    uint64_t last = fl_thread_register();
    CHECK(last != 0);
    bool ident_reused = false;
    uint64_t last_ident = 0;
    for (int i = 0; i < 200; i++) {
        subject self = {.stop = 1};
        join_thread(start_thread(register_self, &self));
        CHECK(self.serial > last);
        CHECK_EQUAL(self.serial & 1, 0); /* U2 */
        ident_reused |= self.ident == last_ident;
        last = self.serial;
        last_ident = self.ident;
    }
    printf("  idents were%s reused\n", ident_reused ? "" : " not");
}

static pthread_key_t late_key;
static uint64_t late_serial;

/* Runs after the core has forgotten the thread, or before; in either case the thread can use the core. */
static void
use_late(void *arg)
{
    subject *self = arg;
    late_serial = fl_thread_register();
    CHECK(late_serial != 0);
    CHECK_EQUAL(fl_thread_ident(late_serial), (uintptr_t)pthread_self());
    if (self->stop < 2) { /* the system allows a few rounds, and ThreadSanitizer takes part in them */
        raise_flag(&self->stop, self->stop + 1);
        CHECK_EQUAL(pthread_setspecific(late_key, self), 0);
    }
}

static void *
end_with_destructor(void *arg)
{
    CHECK_EQUAL(pthread_setspecific(late_key, arg), 0);
    return register_self(arg);
}

static void
test_destructors_of_other_libraries(void)
{
    CHECK_EQUAL(pthread_key_create(&late_key, use_late), 0);
    subject self = {.stop = 1};
    join_thread(start_thread(end_with_destructor, &self));
    CHECK(late_serial > self.serial); /* a new one: the old one had ended */
    CHECK_EQUAL(fl_thread_ident(self.serial), 0);
    CHECK_EQUAL(fl_thread_ident(late_serial), 0);
    CHECK_EQUAL(pthread_key_delete(late_key), 0);
}

static void *
check_not_main(void *arg)
{
    CHECK(!fl_thread_is_main());
    return arg;
}

static void
test_main_thread(void)
{
    CHECK(!fl_thread_is_main()); /* not told yet */
    fl_thread_set_main((uint64_t)(uintptr_t)pthread_self());
    CHECK(fl_thread_is_main());
    join_thread(start_thread(check_not_main, NULL));
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    CHECK_EQUAL(fl_core_init(), 0); /* any number of times */
    RUN(test_serials_name_living_threads);
    RUN(test_serials_that_share_a_chain);
    RUN(test_t19_serials_are_not_used_again);
    RUN(test_destructors_of_other_libraries);
    RUN(test_main_thread);
    return 0;
}
