#include "fibres.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <list>
#include <numeric>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

__align__(16) unsigned char mt_shared[cuda_on_cpu::SHARED_BYTES];

#ifndef __x86_64__
#error "CUDA-on-CPU switches stacks on x86-64 alone"
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

/* Leaves the present stack at *leaving, with what a function must keep, and goes on at `entering`. */
extern "C" void cuda_on_cpu_switch(void **leaving, void *entering);
__asm__(".text\n"
        ".globl cuda_on_cpu_switch\n"
        ".type cuda_on_cpu_switch, @function\n"
        "cuda_on_cpu_switch:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size cuda_on_cpu_switch, .-cuda_on_cpu_switch\n");

namespace cuda_on_cpu
{

namespace
{

constexpr unsigned LANES = 32;
constexpr size_t STACK_BYTES = 256 << 10;
constexpr int NOT_WRITTEN = 0xFF;         /* NaN in every real type */
constexpr unsigned MOST_SLEEPS = 1 << 20; /* while nothing else happens */

struct stack {
    void *memory, *pointer; /* pointer: where to go on */
    size_t bytes;
    void *fake; /* AddressSanitizer's own */
};

struct fibre {
    stack at;
    unsigned thread; /* that it runs */
};

/* Threads that wait for one another: a block, or lanes of a warp. */
struct barrier {
    unsigned lanes = 0;           /* of a warp: who takes part */
    std::vector<fibre *> waiting; /* those who have come */
};

struct warp_state {
    barrier meeting;
    uint64_t words[2][LANES]; /* handed in; two in turn, so that none is overwritten too early */
    unsigned turn[LANES];     /* exchanges that each lane has been through */
};

struct block_state {
    unsigned index, started, finished;
    std::vector<unsigned> order; /* in which threads start */
    barrier all;
    std::vector<warp_state> warps;
    std::vector<fibre *> ready;
    std::vector<unsigned char> shared; /* its shared memory, while another block runs */
};

/* Every fibre there is, to be given back in the end. */
struct fibre_pool {
    std::vector<fibre *> fibres;
    ~fibre_pool()
    {
        for (fibre *each : fibres) {
            munmap(each->at.memory, STACK_BYTES);
            delete each;
        }
    }
};

const grid *present_grid;
block_state *block; /* that runs */
fibre *running;
stack scheduler;
std::vector<fibre *> spare;
unsigned sleeps; /* since something else happened */
fibre_pool pool;

[[noreturn]] void give_up(const char *what)
{
    fprintf(stderr, "cuda-on-cpu: block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
    abort();
}

/* Changes stacks and, with AddressSanitizer, says so. */
void change(stack *from, stack *to, bool for_good)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from->fake, to->memory, to->bytes);
#else
    (void)for_good;
#endif
    cuda_on_cpu_switch(&from->pointer, to->pointer);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
#endif
}

void run_threads()
{
#ifdef __SANITIZE_ADDRESS__
    /* Tells where the scheduler's own stack is, to come back to. */
    __sanitizer_finish_switch_fiber(nullptr, const_cast<const void **>(&scheduler.memory),
                                    &scheduler.bytes);
#endif
    for (;;) {
        while (block->started < present_grid->threads) {
            running->thread = block->order[block->started++];
            threadIdx = dim3(running->thread);
            present_grid->body();
            block->finished++;
            sleeps = 0;
        }
        spare.push_back(running);
        change(&running->at, &scheduler, false);
    }
}

fibre *make_fibre()
{
    fibre *made = new fibre();
    made->at.memory =
        mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    made->at.bytes = STACK_BYTES;
    if (made->at.memory == MAP_FAILED) {
        give_up("no memory for a stack");
    }
    void **top = reinterpret_cast<void **>(static_cast<char *>(made->at.memory) + STACK_BYTES);
    *--top = nullptr; /* where run_threads would return to; keeps the stack aligned */
    *--top = reinterpret_cast<void *>(run_threads);
    for (int i = 0; i < 6; i++) {
        *--top = nullptr;
    }
    made->at.pointer = top;
    pool.fibres.push_back(made);
    return made;
}

fibre *free_fibre()
{
    if (spare.empty()) {
        return make_fibre();
    }
    fibre *found = spare.back();
    spare.pop_back();
    return found;
}

void resume(fibre *next)
{
    running = next;
    threadIdx = dim3(next->thread);
    change(&scheduler, &next->at, false);
}

/* Lets all who wait go on, in any order. */
void open_barrier(barrier *gate)
{
    std::vector<fibre *> &waiting = gate->waiting;
    for (size_t left = waiting.size(); left > 0; left--) {
        size_t chosen = shuffled_below(static_cast<unsigned>(left));
        block->ready.push_back(waiting[chosen]);
        waiting[chosen] = waiting[left - 1];
    }
    waiting.clear();
    sleeps = 0;
}

/* The running thread waits until `expected` have come. */
void wait_at(barrier *gate, unsigned expected)
{
    fibre *self = running;
    gate->waiting.push_back(self);
    if (gate->waiting.size() == expected) {
        open_barrier(gate);
    }
    change(&self->at, &scheduler, false);
}

void wait_for_lanes(unsigned lanes)
{
    warp_state *warp = &block->warps[running->thread / LANES];
    unsigned first = running->thread / LANES * LANES;
    unsigned present =
        present_grid->threads - first < LANES ? (1u << (present_grid->threads - first)) - 1 : ~0u;
    if ((lanes & 1u << running->thread % LANES) == 0) {
        give_up("waits for lanes of which it is none");
    }
    if (!warp->meeting.waiting.empty() && warp->meeting.lanes != lanes) {
        give_up("waits for other lanes than the rest of its warp");
    }
    warp->meeting.lanes = lanes;
    wait_at(&warp->meeting, static_cast<unsigned>(__builtin_popcount(lanes & present)));
}

/* A block that begins, with its threads in any order. */
block_state make_block(unsigned index)
{
    block_state made = {};
    made.index = index;
    made.order.resize(present_grid->threads);
    std::iota(made.order.begin(), made.order.end(), 0u);
    for (unsigned left = present_grid->threads; left > 1; left--) {
        std::swap(made.order[left - 1], made.order[shuffled_below(left)]);
    }
    made.warps.assign((present_grid->threads + LANES - 1) / LANES, warp_state());
    made.shared.assign(present_grid->shared_bytes, NOT_WRITTEN);
    return made;
}

/* Puts the block and its shared memory in place of the one that runs. */
void enter_block(block_state *next)
{
    if (block == next) {
        return;
    }
    if (block != nullptr) {
        std::copy_n(mt_shared, block->shared.size(), block->shared.begin());
    }
    std::copy(next->shared.begin(), next->shared.end(), mt_shared);
    block = next;
    blockIdx = dim3(next->index);
}

/* Runs one of the block's threads until it waits. */
void take_turn()
{
    if (!block->ready.empty()) {
        fibre *next = block->ready.back();
        block->ready.pop_back();
        resume(next);
    } else if (block->started < present_grid->threads) {
        fibre *next = free_fibre();
        next->thread = 0;
        resume(next);
    } else {
        give_up("threads wait for others that have ended or wait elsewhere");
    }
}

} // namespace

unsigned shuffled_below(unsigned bound)
{
    static uint64_t state = 0x9E3779B97F4A7C15u;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned>((state >> 33) % bound);
}

void run_grid(const grid &whole)
{
    std::vector<unsigned> order(whole.blocks);
    std::iota(order.begin(), order.end(), 0u);
    std::list<block_state> resident;
    present_grid = &whole;
    gridDim = dim3(whole.blocks);
    blockDim = dim3(whole.threads);
    while (!order.empty() || !resident.empty()) {
        while (!order.empty() && resident.size() < RESIDENT_BLOCKS) {
            unsigned chosen = shuffled_below(static_cast<unsigned>(order.size()));
            resident.push_back(make_block(order[chosen]));
            order[chosen] = order.back();
            order.pop_back();
        }
        auto next = resident.begin();
        std::advance(next, shuffled_below(static_cast<unsigned>(resident.size())));
        enter_block(&*next);
        unsigned turns = 1 + shuffled_below(2 * whole.threads); /* until another block's turn */
        while (turns-- > 0 && block->finished < whole.threads) {
            take_turn();
        }
        if (block->finished == whole.threads) {
            block = nullptr;
            resident.erase(next);
        }
    }
}

int lane()
{
    return static_cast<int>(running->thread % LANES);
}

/* Every lane hands in its word, and gets those of all. */
const uint64_t *gather(unsigned lanes, uint64_t word)
{
    warp_state *warp = &block->warps[running->thread / LANES];
    unsigned self = running->thread % LANES, turn = warp->turn[self]++ % 2;
    warp->words[turn][self] = word;
    wait_for_lanes(lanes);
    return warp->words[turn];
}

uint64_t exchange(unsigned lanes, uint64_t word, int source)
{
    if ((lanes & 1u << source) == 0) {
        give_up("reads from a lane that does not take part");
    }
    return gather(lanes, word)[source];
}

} // namespace cuda_on_cpu

using namespace cuda_on_cpu;

void __syncthreads()
{
    wait_at(&block->all, present_grid->threads);
}

void __syncwarp(unsigned lanes)
{
    wait_for_lanes(lanes);
}

unsigned __ballot_sync(unsigned lanes, int predicate)
{
    unsigned votes = 0;
    const uint64_t *words = gather(lanes, predicate != 0);
    for (unsigned lane = 0; lane < LANES; lane++) {
        votes |= (lanes & 1u << lane) != 0 && words[lane] != 0 ? 1u << lane : 0u;
    }
    return votes;
}

/* Lets all others go on first. */
void __nanosleep(unsigned)
{
    if (++sleeps == MOST_SLEEPS) {
        give_up("waits for what no other thread will do");
    }
    block->ready.insert(block->ready.begin(), running);
    change(&running->at, &scheduler, false);
}

/* One thread runs at a time, from barrier to barrier: everything is atomic and in order. */
void __threadfence_system()
{
}

unsigned atomicAdd(unsigned *address, unsigned value)
{
    unsigned former = *address;
    *address += value;
    return former;
}

unsigned atomicCAS(unsigned *address, unsigned expected, unsigned value)
{
    unsigned former = *address;
    *address = former == expected ? value : former;
    return former;
}
