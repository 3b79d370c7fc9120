package knownanswers

import (
	"bytes"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"
)

// logLines is what a Go plugin writes to stderr with the logger that go-plugin expects: one line for each level, then
// one for each kind of field.
func logLines() []byte {
	var lines bytes.Buffer
	logger := hclog.New(&hclog.LoggerOptions{
		Name:       "plugin",
		Level:      hclog.Trace,
		Output:     &lines,
		JSONFormat: true,
		TimeFn:     func() time.Time { return instant },
	})
	logger.Trace("at trace")
	logger.Debug("at debug")
	logger.Info("at info")
	logger.Warn("at warn")
	logger.Error("at error")
	logger.Named("tickets").Info("from a named logger")
	logger.With("request", "shop-1").Info("with a field of the logger")
	logger.Info("fields", "string", "a\"b\n<世界>", "int", -1, "float", 1.5, "bool", true, "nil", nil,
		"error", errors.New("broken"), "duration", 90*time.Second, "list", []string{"a"}, "map", map[string]int{"k": 1})
	logger.Info("a key without a value", "lonely")
	logger.Info("")
	return lines.Bytes()
}
