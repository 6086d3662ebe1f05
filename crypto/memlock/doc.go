// Package memlock keeps memory with secrets out of the swap, where the system can and
// allows it. Memory of the Go heap does not move, so it stays locked until Unlock or the
// end of the process. It wipes nothing, and says nothing about core dumps.
package memlock
