/* The threads of a scenario: coroutines, each on a stack of its own, at a fixed address (X1).
 *
 * The engine runs on the program's own stack.  A thread that comes to a step gives control back to it.  A switch saves
 * the registers that a call preserves on the stack, so that a hash of the stack covers them (X4).  Thread-local
 * variables are exchanged with each switch. */

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

enum { CLEARED = 1024 };

static void *engine_sp;

static unsigned char *tls;
static size_t tls_size;
static unsigned char tls_image[EX_TLS_MAX];

/* ex_switch(&save, to): saves the registers on the stack and its address in *save, and continues at `to`. */
void ex_switch(void **save, void *to);

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl ex_switch\n"
        ".type ex_switch, @function\n"
        "ex_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size ex_switch, . - ex_switch\n");
enum { SAVED = 6 };
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl ex_switch\n"
        ".type ex_switch, %function\n"
        "ex_switch:\n"
        "  stp x29, x30, [sp, #-160]!\n"
        "  stp x19, x20, [sp, #16]\n  stp x21, x22, [sp, #32]\n  stp x23, x24, [sp, #48]\n"
        "  stp x25, x26, [sp, #64]\n  stp x27, x28, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mov x9, sp\n  str x9, [x0]\n"
        "  mov sp, x1\n"
        "  ldp x19, x20, [sp, #16]\n  ldp x21, x22, [sp, #32]\n  ldp x23, x24, [sp, #48]\n"
        "  ldp x25, x26, [sp, #64]\n  ldp x27, x28, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
        "  ldp x29, x30, [sp], #160\n"
        "  ret\n"
        ".size ex_switch, . - ex_switch\n");
#else
#error "the explorer switches threads on x86-64 and aarch64"
#endif

static int
find_tls(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_TLS) {
            tls = info->dlpi_tls_data;
            tls_size = info->dlpi_phdr[i].p_memsz;
        }
    }
    return 1; /* the first is the program itself */
}

void
ex_threads_init(void)
{
    size_t size = (size_t)EX_COROUTINES * EX_STACK_SIZE;
    void *got = mmap(EX_STACKS, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    dl_iterate_phdr(find_tls, NULL);
    if (got != EX_STACKS || tls == NULL || tls_size > EX_TLS_MAX) {
        fprintf(
            stderr, "explore: no stacks at %p, or %zu bytes of thread-local variables\n", (void *)EX_STACKS, tls_size);
        exit(2);
    }
    memcpy(tls_image, tls, tls_size);
}

static void
exchange_tls(unsigned char *with)
{
    unsigned char kept[EX_TLS_MAX];
    memcpy(kept, tls, tls_size);
    memcpy(tls, with, tls_size);
    memcpy(with, kept, tls_size);
}

static void (*bodies[EX_COROUTINES])(int);
static int arguments[EX_COROUTINES];

static void
destroy_specific(ex_thread *thread)
{
    if (thread->specific) {
        void *value = thread->specific;
        thread->specific = NULL;
        ex.destroy_specific(value);
    }
}

_Noreturn void
ex_thread_end(void)
{
    int number = ex.current;
    ex_thread *thread = &ex.thread[number];
    destroy_specific(thread);
    if (ex.scenario->late && number < EX_THREADS_MAX) {
        ex.scenario->late(number);
        destroy_specific(thread);
    }
    thread->status = EX_ENDED;
    ex_thread_yield();
    abort(); /* nobody resumes it */
}

static void
begin(void)
{
    int number = ex.current;
    bodies[number](arguments[number]);
    ex_thread_end();
}

void
ex_thread_make(int number, void (*body)(int), int argument)
{
    ex_thread *thread = &ex.thread[number];
    memset(thread, 0, sizeof *thread);
    memset(ex_stack_end(number) - CLEARED, 0, CLEARED);
    memcpy(thread->tls, tls_image, tls_size);
    bodies[number] = body;
    arguments[number] = argument;
    void **sp = (void **)ex_stack_end(number);
#if defined(__x86_64__)
    *--sp = NULL; /* the return address of begin(), which never returns: the stack is aligned as after a call */
    *--sp = (void *)begin;
    sp -= SAVED;
#else
    sp -= 20;
    sp[1] = (void *)begin;
#endif
    thread->sp = sp;
}

void
ex_thread_resume(int number)
{
    ex_thread *thread = &ex.thread[number];
    unsigned char *sp = thread->sp;
    ex.current = number;
    ex.in_thread = true;
    memset(sp - CLEARED, 0, CLEARED); /* what calls have left there would tell equal states apart */
    exchange_tls(thread->tls);
    ex_switch(&engine_sp, thread->sp);
    exchange_tls(thread->tls);
    ex.in_thread = false;
}

void
ex_thread_yield(void)
{
    ex_switch(&ex.thread[ex.current].sp, engine_sp);
}

_Noreturn void
ex_leave(void)
{
    ex_thread_yield();
    abort();
}

/* ---- steps ---- */

bool
ex_is_running(void)
{
    return ex.in_thread && ex.current < EX_THREADS_MAX;
}

void
ex_step(ex_op op, const void *object, bool writes)
{
    if (ex_is_running() && ex_is_step(object, writes)) {
        ex_thread *self = &ex.thread[ex.current];
        self->op = op;
        self->object = object;
        ex_thread_yield();
        self->op = EX_OP_NONE;
    }
}

ex_wake
ex_wait(ex_op op, const void *object, int64_t deadline_ns)
{
    ex_thread *self = &ex.thread[ex.current];
    self->op = op;
    self->object = object;
    self->deadline_ns = deadline_ns;
    self->wake = EX_DONE;
    self->signalled = false;
    ex_thread_yield();
    ex_wake wake = self->wake;
    self->op = EX_OP_NONE;
    self->deadline_ns = 0;
    self->wake = EX_DONE;
    return wake;
}
