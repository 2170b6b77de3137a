"""REST and the page: `framecast serve`. Nothing here contacts another machine."""
