#include "textflag.h"

// The handler of every signal: func(DI signo, SI *siginfo_t, DX *ucontext_t), called by the
// kernel on the runtime's signal stack of any of our threads, with all signals blocked.
// Like the C peers' it may use nothing of the language's runtime: it looks, writes
// 32 bytes to a pipe, and returns.
TEXT ·handler(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVL	8(SI), AX              // si_code
	TESTL	AX, AX
	JLE	sent
	MOVL	DI, CX
	DECL	CX
	MOVQ	$1, R8
	SHLQ	CX, R8
	TESTQ	R8, ·faults(SB)
	JNZ	chain                  // the processor's: a fault of our own
	JMP	queue
sent:
	CMPL	AX, $-6                // SI_TKILL
	JNE	queue
	MOVL	16(SI), CX             // si_pid
	CMPL	CX, ·self(SB)
	JEQ	chain                  // the runtime's own: preemption, a crash
queue:
	MOVL	$186, AX               // gettid
	SYSCALL
	CMPL	AX, ·reader(SB)
	JEQ	write
	MOVL	$39, AX                // getpid
	SYSCALL
	CMPL	AX, ·self(SB)
	JNE	write                  // a child before its exec, in our memory: the command would keep the mask
	MOVQ	·strays(SB), R8
	ORQ	R8, 296(DX)            // uc_sigmask: from now on this thread leaves signals to the reader
write:
	MOVL	·into(SB), DI
	MOVL	$32, DX
	MOVL	$1, AX                 // write
	SYSCALL
	CMPQ	AX, $32
	JEQ	done
	MOVL	0(SI), CX              // si_signo
	DECL	CX
	MOVQ	$1, R8
	SHLQ	CX, R8
	LOCK
	ORQ	R8, ·missed(SB)
done:
	RET
chain:
	LEAQ	·old(SB), R8
	MOVQ	(R8)(DI*8), AX
	JMP	AX

// What the handler returns to: rt_sigreturn.
TEXT ·restorer(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVQ	$15, AX
	SYSCALL
	INT	$3

// func handlerPC() uintptr
TEXT ·handlerPC(SB), NOSPLIT, $0-8
	LEAQ	·handler(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB), NOSPLIT, $0-8
	LEAQ	·restorer(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func syscall6(number, a, b, c, d, e, f uintptr) uintptr
TEXT ·syscall6(SB), NOSPLIT, $0-64
	MOVQ	number+0(FP), AX
	MOVQ	a+8(FP), DI
	MOVQ	b+16(FP), SI
	MOVQ	c+24(FP), DX
	MOVQ	d+32(FP), R10
	MOVQ	e+40(FP), R8
	MOVQ	f+48(FP), R9
	SYSCALL
	MOVQ	AX, ret+56(FP)
	RET
