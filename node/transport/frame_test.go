package transport

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestReadBody(t *testing.T) {
	for _, size := range []int{0, 1, eagerBodyBytes, eagerBodyBytes + 1, 2 * eagerBodyBytes, 5*eagerBodyBytes + 3} {
		want := fill(size)
		got, err := readBody(iotest.HalfReader(bytes.NewReader(want)), size)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d bytes, %v", size, len(got), err)
		}
		if size == 0 {
			continue
		}
		for _, cut := range []int{0, size / 2, size - 1} {
			if _, err := readBody(bytes.NewReader(want[:cut]), size); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d of %d bytes: %v", cut, size, err)
			}
		}
	}
}

// A header that announces 64 MiB costs no more than what arrives.
func TestReadBodyAllocatesWhatArrives(t *testing.T) {
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			readBody(strings.NewReader("only this"), maxFrameBytes)
		}
	})
	if got := result.AllocedBytesPerOp(); got > 2*eagerBodyBytes {
		t.Errorf("%d bytes allocated", got)
	}
}

func TestRemoteErrorRoundTrip(t *testing.T) {
	for _, e := range []RemoteError{{Code: "a"}, {Code: "batch.full", Message: "満員"}, {Code: strings.Repeat("c", 255), Message: strings.Repeat("m", 768)}} {
		got, err := decodeRemoteError(e.encode())
		if err != nil || *got != e {
			t.Errorf("got %v, %v, want %v", got, err, e)
		}
	}
	long := RemoteError{Code: "a", Message: strings.Repeat("界", 500)}
	got, err := decodeRemoteError(long.encode())
	if err != nil || !strings.HasPrefix(long.Message, got.Message) || len(got.Message) < 1000 {
		t.Errorf("cut message: %v, %v", got, err)
	}
}

func TestRequestMs(t *testing.T) {
	for in, want := range map[time.Duration]uint32{
		-time.Second: 1, 0: 1, time.Microsecond: 1, time.Second: 1000, 100 * time.Hour: 120_000,
	} {
		if got := requestMs(in); got != want {
			t.Errorf("%v: got %d, want %d", in, got, want)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []struct {
		kind byte
		body []byte
	}{{frameAnswer, nil}, {frameAnswer, []byte("answer")}, {frameError, (&RemoteError{Code: "c", Message: "m"}).encode()}, {frameRequest, []byte("x")}} {
		var b bytes.Buffer
		arg := uint32(0)
		if seed.kind == frameRequest {
			arg = 5
		}
		writeFrame(&b, seed.kind, arg, seed.body)
		f.Add(b.Bytes())
	}
	f.Add([]byte{frameAnswer, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{frameError, 0, 0, 0, 0, 0, 0, 0, 2, 5, 'x'})
	const limit = 1 << 10
	f.Fuzz(func(t *testing.T, in []byte) {
		reader := bytes.NewReader(in)
		answer, err := readAnswer(reader, limit)
		consumed := in[:len(in)-reader.Len()]
		var remote *RemoteError
		var again bytes.Buffer
		switch {
		case err == nil:
			if len(answer) > limit {
				t.Fatalf("%d bytes above the limit", len(answer))
			}
			writeFrame(&again, frameAnswer, 0, answer)
		case errors.As(err, &remote):
			writeFrame(&again, frameError, 0, remote.encode())
		default:
			return
		}
		if !bytes.Equal(again.Bytes(), consumed) {
			t.Fatalf("accepted %x, which is written %x", consumed, again.Bytes())
		}
	})
}

func FuzzReadRequestHeader(f *testing.F) {
	f.Add([]byte{frameRequest, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Add([]byte{frameRequest, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		header, err := readHeader(bytes.NewReader(in))
		if err != nil {
			return
		}
		var again [frameHeaderBytes]byte
		header.put(again[:])
		if !bytes.Equal(again[:], in[:frameHeaderBytes]) {
			t.Fatalf("accepted %x, which is written %x", in, again)
		}
		if header.kind == frameRequest && header.arg == 0 {
			t.Fatal("request without time accepted")
		}
	})
}
