package formatter

import "os"

// compileEnvironment compiles %ENVIRONMENT(NAME)%. The environment does not change while the proxy
// runs. A variable that is not there is the string "-", in JSON too.
func compileEnvironment(name string) (Operator, error) {
	v, ok := os.LookupEnv(name)
	if !ok {
		v = "-"
	}
	return constant(v), nil
}

// compileHostname compiles %HOSTNAME%, which is read once, as in Envoy.
func compileHostname(string) (Operator, error) {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return missing, nil
	}
	return constant(name), nil
}
