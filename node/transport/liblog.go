package transport

import (
	"context"
	"log/slog"

	"github.com/libp2p/go-libp2p/gologshim"
)

// TakeLibraryLogs sends libp2p's own errors to log at debug level, instead of
// to standard error in a format of their own. What an operator has to know
// this package logs itself; libp2p also calls ordinary ends errors, such as
// its listener's when a host is closed. The setting holds for the process: a
// program calls it once, before its first New, and libraries do not.
func TakeLibraryLogs(log *slog.Logger) {
	gologshim.SetDefaultHandler(libraryHandler{log.Handler()})
}

type libraryHandler struct{ slog.Handler }

func (h libraryHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, slog.LevelDebug)
}

func (h libraryHandler) Handle(ctx context.Context, record slog.Record) error {
	record.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, record)
}

func (h libraryHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryHandler{h.Handler.WithAttrs(attrs)}
}

func (h libraryHandler) WithGroup(name string) slog.Handler {
	return libraryHandler{h.Handler.WithGroup(name)}
}
