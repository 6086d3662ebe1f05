package vault

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
)

// MemoryBlobs is a blob store that lasts as long as the process. The zero value
// is ready.
type MemoryBlobs struct {
	mu     sync.Mutex
	values map[string][]byte
}

// Get implements Blobs.
func (m *MemoryBlobs) Get(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return nil, ErrNoBlob
	}
	return bytes.Clone(value), nil
}

// Put implements Blobs.
func (m *MemoryBlobs) Put(blobs ...Blob) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	for _, b := range blobs {
		m.values[b.Key] = bytes.Clone(b.Value)
	}
	return nil
}

// Delete implements Blobs.
func (m *MemoryBlobs) Delete(keys ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.values, key)
	}
	return nil
}

// List implements Blobs.
func (m *MemoryBlobs) List(prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.Sorted(maps.Keys(m.values))
	return slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) }), nil
}

// MemorySlot is a slot that lasts as long as the process, of class "memory". The
// zero value is blank.
type MemorySlot struct {
	mu    sync.Mutex
	slots [2][SlotBytes]byte
}

// Class implements Slot.
func (m *MemorySlot) Class() string { return "memory" }

// Read implements Slot.
func (m *MemorySlot) Read(i int) ([SlotBytes]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.slots[i], nil
}

// Write implements Slot.
func (m *MemorySlot) Write(i int, content [SlotBytes]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slots[i] = content
	return nil
}

// Close implements Slot. The content stays.
func (m *MemorySlot) Close() error { return nil }
