/* What a scenario calls: explorer.h. */

#include "engine.h"

bool
ex_has_gil(void)
{
    return ex.gil;
}

int
ex_self(void)
{
    return ex.in_thread && ex.current < EX_THREADS_MAX ? ex.current : -1;
}

bool
ex_has_ended(int thread)
{
    return ex.thread[thread].status != EX_READY;
}

bool
ex_is_blocked(int thread)
{
    return ex.thread[thread].status == EX_READY && !ex_can_go_on(&ex.thread[thread]);
}

bool
ex_is_at(int thread, const void *object)
{
    return ex.thread[thread].status == EX_READY && ex.thread[thread].op != EX_OP_NONE &&
           ex.thread[thread].object == object;
}

int
ex_sleeping_places(const void **list, int most)
{
    for (int i = 0; i < ex.place_count && i < most; i++) {
        list[i] = ex.places[i];
    }
    return ex.place_count;
}

int
ex_blocks(void)
{
    return ex.blocks;
}

_Noreturn void
ex_exit(void)
{
    ex_trace_note("thread %d ends here", ex.current);
    ex_thread_end();
}

void
ex_set_tick(int64_t ns)
{
    ex.tick_ns = ns;
}

int64_t
ex_now_ns(void)
{
    return ex.now_ns;
}

int
ex_lapses(void)
{
    return ex.used.lapses;
}

/* Nobody sleeps on the stack of a thread that is not there. */
static void
forget_places(int thread)
{
    for (int i = 0; i < ex.place_count; i++) {
        const unsigned char *place = ex.places[i];
        if (place >= ex_stack_begin(thread) && place < ex_stack_end(thread)) {
            ex.places[i--] = ex.places[--ex.place_count];
        }
    }
}

void
ex_forget_others(void)
{
    for (int i = 0; i < ex.threads; i++) {
        if (i != ex.current && ex.thread[i].status == EX_READY) {
            ex.thread[i].status = EX_MISSING;
            forget_places(i);
        }
    }
    ex_order_after_all();
}

void
ex_start(int number, void (*body)(int))
{
    EX_CHECK(ex.thread[number].status != EX_READY);
    ex_thread_make(number, body, number);
    ex_order_start(number);
}

bool
ex_fork(void)
{
    ex.fork_before();
    bool is_child = ex_choose(2) == 1;
    ex_trace_note("thread %d goes on in the %s of a fork", ex.current, is_child ? "child" : "parent");
    if (is_child) {
        ex_forget_others();
        ex.fork_in_child();
    }
    else {
        ex.fork_in_parent();
    }
    return is_child;
}

int
ex_choose(int count)
{
    ex_thread *thread = &ex.thread[ex.current];
    if (ex.current == EX_SETTER || count == 1) {
        return 0;
    }
    thread->op = EX_OP_CHOOSE;
    thread->options = count;
    ex_thread_yield();
    thread->op = EX_OP_NONE;
    return thread->chosen;
}
