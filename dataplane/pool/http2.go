package pool

// NewHTTP2 to come.
func NewHTTP2(cfg Config) Pool { return NewHTTP1(cfg) }

// NewAuto to come.
func NewAuto(cfg Config) Pool { return NewHTTP1(cfg) }
