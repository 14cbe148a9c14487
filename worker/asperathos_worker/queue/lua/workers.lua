-- The worker records by name, and the lease records.
return {call('HGETALL', P .. 'workers'), call('HVALS', P .. 'leases')}
