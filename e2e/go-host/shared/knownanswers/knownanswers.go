// Package knownanswers writes the wire bytes that the unit tests of the Rust crates read. Every byte comes out of
// hashicorp/go-plugin, hashicorp/yamux, net/rpc, encoding/gob and upstream's own types.
//
// gob numbers types per process, in the order of their first use, so each side of each exchange is made in a process
// of its own: the output is the same every time, and the numbers are those of a real host and a real plugin.
package knownanswers

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/refplugin"
)

const (
	knownAnswersCommand = "known-answers"
	sessionPluginMode   = "session-plugin"
	indexFile           = "index.json"
	readmeFile          = "README.md"
)

// A crate is where a fixture belongs.
type crate string

const (
	netrpc crate = "go-plugin-netrpc"
	access crate = "ephemeral-access-plugin"
)

// The upstream versions whose bytes are committed. Those between them are checked to have the bytes of the version
// they share them with, and so are those of our own declarations.
var committed = map[string]string{
	"v0.1.5": "v0.1.5", "v1.0.3": "v1.2.0", "v1.1.0": "v1.2.0", "v1.2.0": "v1.2.0",
	"contract-v0.1.5": "v0.1.5", "contract-v1.2.0": "v1.2.0",
}

// Main runs the known-answers command of a host built for one upstream version.
func Main(version string, arguments []string) error {
	flags := flag.NewFlagSet(knownAnswersCommand, flag.ContinueOnError)
	root := flags.String("root", "", "the folder of the Rust workspace")
	check := flags.Bool("check", false, "write nothing; fail if a committed file differs")
	child := flags.String("child", "", "internal: make one side of an exchange")
	name := flags.String("name", "", "internal: the exchange")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *child != "" {
		return runChild(*child, *name)
	}
	if *root == "" {
		return fmt.Errorf("`-root` must name the folder of the Rust workspace")
	}
	files, err := generate(version)
	if err != nil {
		return err
	}
	if *check {
		return compare(*root, files)
	}
	return write(*root, files)
}

const readme = `# Known answers

Written by Go; never edit by hand. ` + "`e2e/go-host/run known-answers`" + ` writes them anew, ` + "`e2e/go-host/run known-answers --check`" + ` fails
if they differ from what Go writes.

- ` + "`index.json`" + `: every exchange, with the method of each call, the argument that the plugin receives, and the offsets in
  the two files at which the call's messages end.
- ` + "`NAME.request.bin`, `NAME.response.bin`" + `: one net/rpc connection, host to plugin and plugin to host, without yamux.
- ` + "`yamux-session.host.bin`, `yamux-session.plugin.bin`" + `: a whole session with yamux; ` + "`yamux-session.json`" + ` has its frames.
`

// A folder maps file names to contents.
type folder map[string][]byte

// generate gives the folders, by their path in the workspace.
func generate(version string) (map[string]folder, error) {
	folders := map[crate]folder{netrpc: {}, access: {}}
	indexes := map[crate][]entry{}
	for _, e := range exchanges() {
		made, err := makeExchange(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		folders[e.crate][e.name+".request.bin"] = made.Request
		folders[e.crate][e.name+".response.bin"] = made.Response
		indexes[e.crate] = append(indexes[e.crate], made.entry(e))
	}
	if err := addYamux(folders[netrpc]); err != nil {
		return nil, fmt.Errorf("yamux: %w", err)
	}
	if err := addHandshake(folders[netrpc]); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	folders[netrpc]["hclog-lines.txt"] = logLines()
	paths := map[string]folder{}
	for c, files := range folders {
		if err := addSession(files, c); err != nil {
			return nil, fmt.Errorf("session: %w", err)
		}
		if err := addJSON(files, indexFile, indexes[c]); err != nil {
			return nil, err
		}
		path := filepath.Join("crates", string(c), "tests", "known-answers")
		if c == access {
			shares, known := committed[version]
			if !known {
				return nil, fmt.Errorf("no known answers are kept for %s", version)
			}
			path = filepath.Join(path, shares)
		}
		files[readmeFile] = []byte(readme)
		paths[path] = files
	}
	return paths, nil
}

// An entry of the index describes one exchange.
type entry struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Calls       []describeCall `json:"calls"`
}

type describeCall struct {
	Method string `json:"method"`
	Seq    int    `json:"seq"`
	// RequestEnd and ResponseEnd are where the message of this call ends in the files.
	RequestEnd  int `json:"requestEnd"`
	ResponseEnd int `json:"responseEnd"`
	Argument    any `json:"argument"`
}

// madeExchange is both sides of an exchange.
type madeExchange struct {
	Request      []byte
	RequestEnds  []int
	Response     []byte
	ResponseEnds []int
}

func (m madeExchange) entry(e exchange) entry {
	described := entry{Name: e.name, Description: e.description}
	for i, c := range e.calls() {
		described.Calls = append(described.Calls, describeCall{c.method, i, m.RequestEnds[i], m.ResponseEnds[i], c.expected})
	}
	return described
}

func makeExchange(e exchange) (made madeExchange, err error) {
	for _, side := range []string{"request", "response"} {
		input, err := json.Marshal(made)
		if err != nil {
			return made, err
		}
		if err := inChild(side, e.name, input, &made); err != nil {
			return made, err
		}
	}
	return made, nil
}

// inChild runs one step in a fresh process.
func inChild(mode, name string, input []byte, output any) error {
	command := exec.Command(os.Args[0], knownAnswersCommand, "-child", mode, "-name", name)
	command.Stdin = bytes.NewReader(input)
	command.Stderr = os.Stderr
	answer, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", mode, err)
	}
	return json.Unmarshal(answer, output)
}

func runChild(mode, name string) error {
	switch mode {
	case "plugin":
		refplugin.Serve()
		return nil
	case sessionPluginMode:
		return servePluginSide(crate(name))
	case "session":
		played, err := playSession(crate(name))
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(played)
	}
	all := exchanges()
	i := slices.IndexFunc(all, func(e exchange) bool { return e.name == name })
	if i < 0 {
		return fmt.Errorf("no exchange is named %q", name)
	}
	var made madeExchange
	if err := json.NewDecoder(os.Stdin).Decode(&made); err != nil {
		return err
	}
	var err error
	switch mode {
	case "request":
		made.Request, made.RequestEnds, err = all[i].requestBytes()
	case "response":
		made.Response, made.ResponseEnds, err = all[i].responseBytes(made.Request, made.RequestEnds)
		if err == nil {
			err = all[i].check(made.Response, made.ResponseEnds)
		}
	default:
		err = fmt.Errorf("no such step: %q", mode)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(made)
}

// addSession puts in the bytes of a whole session, and its frames one by one.
func addSession(files folder, kind crate) error {
	var played session
	if err := inChild("session", string(kind), nil, &played); err != nil {
		return err
	}
	host, err := parseFrames(played.Host)
	if err != nil {
		return err
	}
	pluginFrames, err := parseFrames(played.Plugin)
	if err != nil {
		return err
	}
	files["yamux-session.host.bin"] = played.Host
	files["yamux-session.plugin.bin"] = played.Plugin
	return addJSON(files, "yamux-session.json", map[string][]frame{"host": host, "plugin": pluginFrames})
}

func addYamux(files folder) error {
	frames, err := yamuxFrames()
	if err != nil {
		return err
	}
	return addJSON(files, "yamux-frames.json", frames)
}

var socketPath = regexp.MustCompile(`\|unix\|[^|]*\|`)

// addHandshake takes the line that a real plugin prints. Its socket has a random name, which is replaced.
func addHandshake(files folder) error {
	for name, variables := range map[string][]string{
		"handshake-line":             nil,
		"handshake-line-multiplexed": {"PLUGIN_MULTIPLEX_GRPC=true"},
	} {
		line, err := handshakeLine(variables)
		if err != nil {
			return err
		}
		if !socketPath.Match(line) {
			return fmt.Errorf("the plugin printed %q", line)
		}
		files[name+".txt"] = socketPath.ReplaceAll(line, []byte("|unix|/tmp/plugin1234567890|"))
	}
	return nil
}

func handshakeLine(variables []string) ([]byte, error) {
	handshake := plugin.NewClientConfig("", nil).HandshakeConfig
	command := exec.Command(os.Args[0], knownAnswersCommand, "-child", "plugin")
	command.Env = append([]string{handshake.MagicCookieKey + "=" + handshake.MagicCookieValue, "TMPDIR=" + os.TempDir()}, variables...)
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	defer command.Wait()
	defer command.Process.Kill()
	line := make([]byte, 4096)
	count, err := output.Read(line)
	if err != nil {
		return nil, err
	}
	line = line[:count]
	// A killed plugin leaves its socket behind.
	if fields := strings.Split(string(line), "|"); len(fields) > 3 {
		defer os.Remove(fields[3])
	}
	return line, nil
}

func addJSON(files folder, name string, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	files[name] = text.Bytes()
	return nil
}

func write(root string, folders map[string]folder) error {
	for path, files := range folders {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(path, name), content, 0o644); err != nil {
				return err
			}
		}
		fmt.Printf("%s: %d files\n", path, len(files))
	}
	return nil
}

func compare(root string, folders map[string]folder) error {
	var drift []string
	for path, files := range folders {
		for name, content := range files {
			present, err := os.ReadFile(filepath.Join(root, path, name))
			if err != nil {
				drift = append(drift, err.Error())
			} else if !bytes.Equal(present, content) {
				drift = append(drift, filepath.Join(path, name)+": differs from what Go writes")
			}
		}
		present, err := os.ReadDir(filepath.Join(root, path))
		if err != nil {
			drift = append(drift, err.Error())
		}
		for _, file := range present {
			if _, made := files[file.Name()]; !made && !file.IsDir() {
				drift = append(drift, filepath.Join(path, file.Name())+": Go does not write this file")
			}
		}
	}
	if len(drift) > 0 {
		slices.Sort(drift)
		return fmt.Errorf("the known answers have drifted:\n  %s\nhint: run `e2e/go-host/run known-answers`, with upstream's module", strings.Join(drift, "\n  "))
	}
	return nil
}
