package receipt

import (
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// An Error says which part of a file does not hold, and why.
type Error struct {
	Format string // receipt, handle, completeness, erasure, evidence or committed; file where the file says none of them
	Part   string // leaf, proof, opening, …; file where the form of the whole is wrong
	For    string // completeness: the service or party of the handle
	Err    error
}

// Code returns the stable code, such as "receipt.leaf".
func (e *Error) Code() string { return e.Format + "." + e.Part }

func (e *Error) Error() string {
	if e.For != "" {
		return fmt.Sprintf("%s of %s: %v", e.Code(), e.For, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Code(), e.Err)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Reasons that callers branch on.
var (
	// ErrPolicy: none of the policies is for this log.
	ErrPolicy = errors.New("none of the policies is for this log")
	// ErrNotFinal: the checkpoint is not final under any of the policies.
	ErrNotFinal = errors.New("the checkpoint is not final under the policies given")
	// ErrKeyChanged: the issuer has another key since; Options.KeyIndex tells
	// where the old one came from.
	ErrKeyChanged = errors.New("the issuer's key has changed since")
	// ErrNoReceipt: seals and the genesis have no receipt; they stand in every
	// proof.
	ErrNoReceipt = errors.New("no receipt is made of this leaf")
	// ErrNoStatus: the record names no handle, so it has no state that could
	// change.
	ErrNoStatus = errors.New("the record has no status")
)

// A Step is one thing that was checked.
type Step struct {
	Name   string      `json:"name"`
	OK     bool        `json:"ok"`
	Detail record.Text `json:"detail"`
}

// A Verdict is what a file proves.
type Verdict struct {
	Format     string        `json:"format"`
	Kind       string        `json:"kind,omitempty"`
	Origin     string        `json:"origin"`
	Size       uint64        `json:"size"`             // of the log at the checkpoint
	FinalMs    uint64        `json:"finalMs"`          // k-th newest cosignature time of it, Unix milliseconds
	TimeMs     uint64        `json:"timeMs,omitempty"` // batch time of the record
	StoryTime  bool          `json:"storyTime,omitempty"`
	Human      Human         `json:"human"`
	Passkey    string        `json:"passkey,omitempty"` // site at which a passkey confirmed the consent
	Status     *Status       `json:"status,omitempty"`
	Handles    []Standing    `json:"handles,omitempty"`    // of a handle or completeness proof
	OwnHandles bool          `json:"ownHandles,omitempty"` // they follow from the person's secret; else handles as given
	Erasure    *Erased       `json:"erasure,omitempty"`
	Committed  *Leaf         `json:"committed,omitempty"` // of a proof of commitment
	Evidence   *Evidence     `json:"evidence,omitempty"`
	Steps      []Step        `json:"steps"`
	NotChecked []record.Text `json:"notChecked"`
}

// check collects steps, and names the part of the first that fails.
type check struct {
	format string
	v      *Verdict
}

// step runs f as a step named after a part of the file.
func (c *check) step(part string, done record.Text, f func() error) error {
	err := f()
	if err == nil {
		c.v.Steps = append(c.v.Steps, Step{Name: part, OK: true, Detail: done})
		return nil
	}
	e := c.fail(part, err)
	c.v.Steps = append(c.v.Steps, Step{Name: e.Part, Detail: record.Text{Ja: "確かめられません：" + e.Err.Error(), En: e.Err.Error()}})
	return e
}

// read decodes a file of a format.
func (c *check) read(name, format string, b []byte, into any, claims *string) error {
	if err := decode(name, b, MaxBundleBytes, into); err != nil {
		return err
	}
	if *claims != format {
		return c.fail("format", fmt.Errorf("%q, this program knows %q", *claims, format))
	}
	return nil
}

// fail names the part of an error that has no part yet.
func (c *check) fail(part string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Format: c.format, Part: part, Err: err}
}

func (c *check) notChecked(ja, en string) {
	c.v.NotChecked = append(c.v.NotChecked, record.Text{Ja: ja, En: en})
}

func text(ja, en string) record.Text { return record.Text{Ja: ja, En: en} }
