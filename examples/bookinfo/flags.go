package bookinfo

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// Command is what a command line of `pillion bookinfo` asks for.
type Command struct {
	Service, Version string
	Options          Options
}

// ParseCommand reads SERVICE [VERSION] and flags. A flag that is not given is taken from the environment:
// BOOKINFO_LISTEN for --listen, and so on.
func ParseCommand(args []string, getenv func(string) string) (Command, error) {
	var c Command
	var resolve []string
	f := pflag.NewFlagSet("bookinfo", pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.Options.Listen, "listen", "", "address to listen on, by default :9080 (httpbin :8000, tcp-echo :9000)")
	f.StringVar(&c.Options.Details, "details", "", "URL of details, by default http://details:9080")
	f.StringVar(&c.Options.Reviews, "reviews", "", "URL of reviews, by default http://reviews:9080")
	f.StringVar(&c.Options.Ratings, "ratings", "", "URL of ratings, by default http://ratings:9080")
	f.StringVar(&c.Options.Instance, "instance", "", "name of this instance in answers, by default the host's")
	f.StringSliceVar(&resolve, "resolve", nil, "HOST[:PORT]=ADDRESS[:PORT]: dial ADDRESS for HOST; may be repeated")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return c, fmt.Errorf("%w: bookinfo SERVICE [VERSION] [flags]; SERVICE is one of %s\n%s", err, strings.Join(Services(), ", "), f.FlagUsages())
		}
		return c, err
	}
	var err error
	f.VisitAll(func(flag *pflag.Flag) {
		if v := getenv("BOOKINFO_" + strings.ToUpper(flag.Name)); v != "" && !flag.Changed && err == nil {
			err = flag.Value.Set(v)
		}
	})
	if err != nil {
		return c, err
	}
	c.Options.Resolve = map[string]string{}
	for _, r := range resolve {
		from, to, ok := strings.Cut(r, "=")
		if !ok || from == "" || to == "" {
			return c, fmt.Errorf("--resolve %q is not HOST=ADDRESS", r)
		}
		c.Options.Resolve[from] = to
	}
	switch f.NArg() {
	case 1:
		c.Service, c.Version = f.Arg(0), "v1"
	case 2:
		c.Service, c.Version = f.Arg(0), f.Arg(1)
	default:
		return c, fmt.Errorf("want SERVICE [VERSION], SERVICE being one of %s", strings.Join(Services(), ", "))
	}
	return c, nil
}
