"""Images and a table become a store; a store becomes batches on the device."""
