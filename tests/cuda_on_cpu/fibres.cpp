#include "fibres.h"
#include "races.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <list>
#include <numeric>
#include <vector>

#ifdef CUDA_ON_CPU_STACKS /* AddressSanitizer knows of them */
#include <sanitizer/asan_interface.h>
#endif

#ifndef __x86_64__
#error "CUDA-on-CPU switches stacks on x86-64 alone"
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;
unsigned char (*mt_shared_of_block)[];

/* Leaves the present stack at *leaving, with what a function must keep, and goes on at
 * `entering`. */
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
/* To ThreadSanitizer a thread at a barrier costs as much as there are threads in all of them. */
constexpr unsigned MOST_RESIDENTS = A_FIBRE_TO_A_THREAD ? 2 : 48;
constexpr size_t STACK_BYTES = 320 << 10;
constexpr size_t CACHE_LINE = 64, STACK_OFFSETS = 1024; /* lines; of what stacks begin at */
constexpr int NOT_WRITTEN = 0xFF;                       /* NaN in every real type */
constexpr unsigned MOST_SLEEPS = 1 << 20;               /* while nothing else happens */

struct stack {
    void *memory, *pointer; /* pointer: where to go on */
    size_t bytes;
    void *fake;          /* AddressSanitizer's own */
    race_fibre accesses; /* of what runs on it */
};

/* Runs the same thread of one block after another: who comes later on the same stack, or to the
 * same fibre of ThreadSanitizer, is taken to be ordered behind who was there before. */
struct fibre {
    stack at;
    unsigned thread;
    bool waited; /* for the grid before */
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

struct grid_run;

struct block_state {
    const grid *of;
    grid_run *run;                            /* of the grid */
    unsigned index, place, started, finished; /* place: among the resident blocks */
    bool lets_next_begin;
    std::vector<unsigned> order; /* in which threads start */
    barrier all;
    std::vector<warp_state> warps;
    std::vector<fibre *> ready, parked; /* parked: until the grid before has ended */
    std::vector<unsigned char> shared;  /* its shared memory */
};

/* How far a grid is. */
struct grid_run {
    const grid *of;
    grid_run *before;               /* on its stream, or NULL */
    unsigned begun, letting, ended; /* blocks; letting: those that let the next grid begin */
    unsigned listed;                /* blocks that have begun or wait */
    std::vector<unsigned> waiting;  /* the first that have not begun, by their numbers */
    char end;                       /* released by threads that end */
};

bool has_ended(const grid_run *run)
{
    return run == nullptr || run->ended == run->of->blocks;
}

bool may_begin(const grid_run &run)
{
    return run.begun < run.of->blocks &&
           (run.before == nullptr || run.before->letting == run.before->of->blocks);
}

/* What is mapped in its place must not look like a stack: the report of leaks at the program's end
 * maps files, and hung where the sanitizer took that for an error. */
void unmap_stack(void *memory)
{
#ifdef CUDA_ON_CPU_STACKS
    __asan_unpoison_memory_region(memory, STACK_BYTES);
#endif
    munmap(memory, STACK_BYTES);
}

/* The fibres of each resident block's threads, given back in the end. */
struct fibre_pool {
    std::vector<fibre *> of_place[MOST_RESIDENTS];
    void clear()
    {
        for (std::vector<fibre *> &fibres : of_place) {
            for (fibre *each : fibres) {
                unmap_stack(each->at.memory);
                destroy_race_fibre(each->at.accesses);
                delete each;
            }
            fibres.clear();
        }
    }
    ~fibre_pool()
    {
        clear();
    }
};

block_state *block; /* that runs */
fibre *running;
stack scheduler;
unsigned sleeps; /* since something else happened */
bool trapped;
fibre_pool pool;
char grid_begins, grid_ends; /* released by who comes first, acquired by who comes after */

[[noreturn]] void give_up(const char *what)
{
    fprintf(stderr, "cuda-on-cpu: block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
    abort();
}

/* Changes stacks, and tells the sanitizer. */
void change(stack *from, stack *to)
{
    act_as(to->accesses);
#ifdef CUDA_ON_CPU_STACKS
    __sanitizer_start_switch_fiber(&from->fake, to->memory, to->bytes);
#endif
    cuda_on_cpu_switch(&from->pointer, to->pointer);
#ifdef CUDA_ON_CPU_STACKS
    __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
#endif
}

void run_threads()
{
#ifdef CUDA_ON_CPU_STACKS
    /* Tells where the scheduler's own stack is, to come back to. */
    __sanitizer_finish_switch_fiber(nullptr, const_cast<const void **>(&scheduler.memory),
                                    &scheduler.bytes);
#endif
    for (;;) {
        running->waited = false;
        acquire(&grid_begins);
        block->of->body();
        if (block->of->overlaps && !running->waited) {
            give_up("ends without having waited for the kernel before it");
        }
        release(&block->run->end);
        release(&grid_ends);
        block->finished++;
        sleeps = 0;
        if (!A_FIBRE_TO_A_THREAD && block->started < block->of->threads) {
            running->thread = block->order[block->started++];
            threadIdx = dim3(running->thread);
        } else {
            change(&running->at, &scheduler);
        }
    }
}

fibre *make_fibre(size_t place, size_t thread)
{
    fibre *made = new fibre();
    made->at.accesses = make_race_fibre(place, thread);
    made->at.memory =
        mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    made->at.bytes = STACK_BYTES;
    if (made->at.memory == MAP_FAILED) {
        give_up("no memory for a stack");
    }
    /* Were all to begin at the same place of a page, they would share few sets of the caches. */
    size_t offset = shuffled_below(STACK_OFFSETS) * CACHE_LINE;
    void **top =
        reinterpret_cast<void **>(static_cast<char *>(made->at.memory) + STACK_BYTES - offset);
    *--top = nullptr; /* where run_threads would return to; keeps the stack aligned */
    *--top = reinterpret_cast<void *>(run_threads);
    for (int i = 0; i < 6; i++) {
        *--top = nullptr;
    }
    made->at.pointer = top;
    return made;
}

fibre *fibre_of(unsigned place, unsigned thread)
{
    std::vector<fibre *> &fibres = pool.of_place[place];
    while (fibres.size() <= thread) {
        fibres.push_back(make_fibre(place, fibres.size()));
    }
    return fibres[thread];
}

void resume(fibre *next)
{
    running = next;
    threadIdx = dim3(next->thread);
    change(&scheduler, &next->at);
}

/* All that they have done happens before anything that one of them does next. */
void order_memory(const std::vector<fibre *> &threads, void *at)
{
    for (const fibre *each : threads) {
        act_as(each->at.accesses);
        release(at);
    }
    for (const fibre *each : threads) {
        act_as(each->at.accesses);
        acquire(at);
    }
    act_as(scheduler.accesses);
}

/* Lets all who wait go on, in any order. */
void let_go_on(std::vector<fibre *> &waiting)
{
    for (size_t left = waiting.size(); left > 0; left--) {
        size_t chosen = shuffled_below(static_cast<unsigned>(left));
        block->ready.push_back(waiting[chosen]);
        waiting[chosen] = waiting[left - 1];
    }
    waiting.clear();
    sleeps = 0;
}

/* The running thread waits until `expected` have come. */
void wait_at(barrier *gate, unsigned expected, bool orders)
{
    fibre *self = running;
    gate->waiting.push_back(self);
    if (gate->waiting.size() == expected) {
        if (orders) {
            order_memory(gate->waiting, gate);
        }
        let_go_on(gate->waiting);
    }
    change(&self->at, &scheduler);
}

void wait_for_lanes(unsigned lanes, bool orders)
{
    warp_state *warp = &block->warps[running->thread / LANES];
    unsigned first = running->thread / LANES * LANES;
    unsigned threads = block->of->threads;
    unsigned present = threads - first < LANES ? (1u << (threads - first)) - 1 : ~0u;
    if ((lanes & 1u << running->thread % LANES) == 0) {
        give_up("waits for lanes of which it is none");
    }
    if (!warp->meeting.waiting.empty() && warp->meeting.lanes != lanes) {
        give_up("waits for other lanes than the rest of its warp");
    }
    warp->meeting.lanes = lanes;
    wait_at(&warp->meeting, static_cast<unsigned>(__builtin_popcount(lanes & present)), orders);
}

/* A block that begins, with its threads in any order. */
block_state make_block(grid_run *run, unsigned index, unsigned place)
{
    const grid &of = *run->of;
    block_state made = {};
    made.of = &of;
    made.run = run;
    made.index = index;
    made.place = place;
    made.order.resize(of.threads);
    std::iota(made.order.begin(), made.order.end(), 0u);
    for (unsigned left = of.threads; left > 1; left--) {
        std::swap(made.order[left - 1], made.order[shuffled_below(left)]);
    }
    made.warps.assign((of.threads + LANES - 1) / LANES, warp_state());
    made.shared.assign(of.shared_bytes, NOT_WRITTEN);
    return made;
}

/* The grid's next block, for a place that is free. */
block_state take_block(grid_run *run, unsigned place)
{
    unsigned disorder = run->of->disorder;
    while (run->listed < run->of->blocks && run->waiting.size() <= disorder) {
        run->waiting.push_back(run->listed++);
    }
    unsigned overtook_first = run->begun - run->waiting[0];
    size_t chosen =
        overtook_first < disorder ? shuffled_below(static_cast<unsigned>(run->waiting.size())) : 0;
    unsigned taken = run->waiting[chosen];
    run->waiting.erase(run->waiting.begin() + static_cast<std::ptrdiff_t>(chosen));
    run->begun++;
    return make_block(run, taken, place);
}

/* Puts the block in place of the one that runs. */
void enter_block(block_state *next)
{
    block = next;
    blockIdx = dim3(next->index);
    blockDim = dim3(next->of->threads);
    gridDim = dim3(next->of->blocks);
    mt_shared_of_block = reinterpret_cast<unsigned char(*)[]>(next->shared.data());
}

/* Lets the grid behind the block's begin, as far as this block is concerned. */
void let_next_begin()
{
    block->run->letting += block->lets_next_begin ? 0 : 1;
    block->lets_next_begin = true;
}

/* Runs one of the block's threads until it waits; false: all wait for the grid before. */
bool take_turn()
{
    if (!block->parked.empty() && has_ended(block->run->before)) {
        let_go_on(block->parked);
    }
    if (!block->ready.empty()) {
        fibre *next = block->ready.back();
        block->ready.pop_back();
        resume(next);
    } else if (block->started < block->of->threads) {
        unsigned thread = block->order[block->started++];
        fibre *next = fibre_of(block->place, thread);
        next->thread = thread;
        resume(next);
    } else if (block->parked.empty()) {
        give_up("threads wait for others that have ended or wait elsewhere");
    } else {
        return false;
    }
    return true;
}

} // namespace

unsigned shuffled_below(unsigned bound)
{
    static uint64_t state = 0x9E3779B97F4A7C15u;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned>((state >> 32) * bound >> 32);
}

/* Few more often than many. With one place ThreadSanitizer would see all blocks as one fibre. */
static unsigned draw_residents()
{
    return A_FIBRE_TO_A_THREAD ? MOST_RESIDENTS
                               : 1 + shuffled_below(1 + shuffled_below(MOST_RESIDENTS));
}

/* What is to run of each stream, in one list that stays where it is. */
static std::list<grid_run> list_runs(const std::vector<std::vector<grid>> &streams)
{
    std::list<grid_run> runs;
    for (const std::vector<grid> &stream : streams) {
        grid_run *before = nullptr;
        for (const grid &each : stream) {
            runs.push_back({&each, before, 0, 0, 0, 0, {}, 0});
            before = &runs.back();
        }
    }
    return runs;
}

static std::vector<grid_run *> which_may_begin(std::list<grid_run> *runs)
{
    std::vector<grid_run *> found;
    for (grid_run &run : *runs) {
        if (may_begin(run)) {
            found.push_back(&run);
        }
    }
    return found;
}

bool run_grids(const std::vector<std::vector<grid>> &streams, unsigned residents)
{
    trapped = false;
    std::list<grid_run> runs = list_runs(streams);
    std::list<block_state> resident;
    unsigned there = residents > 0 ? std::min(residents, MOST_RESIDENTS) : draw_residents();
    std::vector<unsigned> places(there); /* that are free */
    std::iota(places.begin(), places.end(), 0u);
    scheduler.accesses = present_race_fibre();
    ignore_memory();
    release(&grid_begins);
    for (;;) {
        while (!places.empty()) {
            std::vector<grid_run *> beginning = which_may_begin(&runs);
            if (beginning.empty()) {
                break;
            }
            grid_run *run = beginning[shuffled_below(static_cast<unsigned>(beginning.size()))];
            resident.push_back(take_block(run, places.back()));
            places.pop_back();
        }
        if (resident.empty()) {
            break;
        }
        auto next = resident.begin();
        std::advance(next, shuffled_below(static_cast<unsigned>(resident.size())));
        enter_block(&*next);
        unsigned threads = block->of->threads;
        unsigned turns = 1 + shuffled_below(2 * threads); /* until another block's turn */
        while (turns-- > 0 && block->finished < threads && !trapped && take_turn()) {
        }
        if (trapped) {
            for (const std::vector<fibre *> &fibres : pool.of_place) {
                order_memory(fibres, &grid_ends);
            }
            pool.clear(); /* or their threads would go on where they are */
            break;
        }
        if (block->finished == threads) {
            let_next_begin();
            block->run->ended++;
            places.push_back(block->place);
            resident.erase(next);
        }
    }
    acquire(&grid_ends);
    stop_ignoring_memory();
    return !trapped;
}

int lane()
{
    return static_cast<int>(running->thread % LANES);
}

/* Every lane hands in its word, and gets those of all. */
const uint64_t *gather(unsigned lanes, uint64_t word)
{
    act_as(scheduler.accesses);
    warp_state *warp = &block->warps[running->thread / LANES];
    unsigned self = running->thread % LANES, turn = warp->turn[self]++ % 2;
    warp->words[turn][self] = word;
    wait_for_lanes(lanes, false); /* who exchanges words orders no other memory */
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
    act_as(scheduler.accesses);
    wait_at(&block->all, block->of->threads, true);
}

void __syncwarp(unsigned lanes)
{
    act_as(scheduler.accesses);
    wait_for_lanes(lanes, true);
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

void __trap()
{
    act_as(scheduler.accesses);
    trapped = true;
    change(&running->at, &scheduler);
    abort(); /* which nobody comes back to */
}

/* Lets all others go on first. */
void __nanosleep(unsigned)
{
    act_as(scheduler.accesses);
    if (++sleeps == MOST_SLEEPS) {
        give_up("waits for what no other thread will do");
    }
    block->ready.insert(block->ready.begin(), running);
    change(&running->at, &scheduler);
}

/* One thread runs at a time, in order. What is before a fence comes before what is behind a later
 * one: who is later has read what the earlier wrote in between, or should have. */
void __threadfence()
{
    static char fences;
    acquire(&fences);
    release(&fences);
}

void __threadfence_system()
{
}

void cudaTriggerProgrammaticLaunchCompletion()
{
    act_as(scheduler.accesses);
    let_next_begin();
    act_as(running->at.accesses);
}

void cudaGridDependencySynchronize()
{
    act_as(scheduler.accesses);
    fibre *self = running;
    grid_run *before = block->run->before;
    self->waited = true;
    if (has_ended(before)) {
        act_as(self->at.accesses);
    } else {
        block->parked.push_back(self);
        change(&self->at, &scheduler);
    }
    if (before != nullptr) {
        acquire(&before->end);
    }
}
