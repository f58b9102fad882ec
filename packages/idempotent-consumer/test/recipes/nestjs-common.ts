// As much of Nest's types as the snippet uses; Nest itself is not installed for it.
export interface OnApplicationBootstrap {
  onApplicationBootstrap(): Promise<void> | void;
}

export interface BeforeApplicationShutdown {
  beforeApplicationShutdown(signal?: string): Promise<void> | void;
}

export interface FactoryProvider<T> {
  provide: abstract new (...args: never[]) => T;
  inject: unknown[];
  useFactory: (...args: never[]) => T;
}
