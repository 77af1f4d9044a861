#include "textflag.h"

// See catch_amd64.s. Arguments are in R0 to R2; R8 is the number of a system call. The
// kernel's vdso has the code that a handler returns to.
TEXT ·handler(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVW	8(R1), R3              // si_code
	CMPW	$0, R3
	BLE	sent
	SUB	$1, R0, R4
	MOVD	$1, R5
	LSL	R4, R5, R5
	MOVD	·faults(SB), R6
	TST	R5, R6
	BNE	chain
	B	queue
sent:
	CMPW	$-6, R3                // SI_TKILL
	BNE	queue
	MOVW	16(R1), R4             // si_pid
	MOVW	·self(SB), R5
	CMPW	R5, R4
	BEQ	chain
queue:
	MOVD	R0, R9
	MOVD	$178, R8               // gettid
	SVC
	MOVW	·reader(SB), R5
	CMPW	R5, R0
	BEQ	write
	MOVD	$172, R8               // getpid
	SVC
	MOVW	·self(SB), R5
	CMPW	R5, R0
	BNE	write
	MOVD	·strays(SB), R5
	MOVD	40(R2), R6             // uc_sigmask
	ORR	R5, R6
	MOVD	R6, 40(R2)
write:
	MOVW	·into(SB), R0
	MOVD	$32, R2
	MOVD	$64, R8                // write
	SVC
	CMP	$32, R0
	BEQ	done
	SUB	$1, R9, R4
	MOVD	$1, R5
	LSL	R4, R5, R5
	MOVD	$·missed(SB), R6
again:
	LDAXR	(R6), R7
	ORR	R5, R7
	STLXR	R7, (R6), R10
	CBNZ	R10, again
done:
	RET
chain:
	MOVD	$·old(SB), R4
	MOVD	(R4)(R0<<3), R4
	B	(R4)

// func handlerPC() uintptr
TEXT ·handlerPC(SB), NOSPLIT, $0-8
	MOVD	$·handler(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB), NOSPLIT, $0-8
	MOVD	ZR, ret+0(FP)
	RET

// func syscall6(number, a, b, c, d, e, f uintptr) uintptr
TEXT ·syscall6(SB), NOSPLIT, $0-64
	MOVD	number+0(FP), R8
	MOVD	a+8(FP), R0
	MOVD	b+16(FP), R1
	MOVD	c+24(FP), R2
	MOVD	d+32(FP), R3
	MOVD	e+40(FP), R4
	MOVD	f+48(FP), R5
	SVC
	MOVD	R0, ret+56(FP)
	RET
